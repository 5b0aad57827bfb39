"""Log files of the local stack: none grows beyond a size, and a few old ones are kept."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Final

from project.stack.console import say

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 10_000_000
"""Bytes of one file."""

KEPT: Final = 3
"""Old files beside it. `<name>.log.1` is the latest."""


def rotate(log: Path) -> None:
    """Make room for a new file. The present one becomes `<name>.log.1`."""
    if log.exists():
        _shift(log)
        log.replace(_old(log, 1))


def copy_and_empty(log: Path) -> None:
    """Rotate the file of a running process if it is too large, as logrotate's copytruncate does.

    The process opened the file for appending, so it continues at the beginning of the emptied
    file. Lines that it writes between the copy and the emptying are lost.
    """
    try:
        if log.stat().st_size <= LARGEST:
            return
        copy = log.with_name(f"{log.name}.new")
        try:
            shutil.copyfile(log, copy)
        except OSError:  # the disk is full: keep the old files instead of this copy
            copy.unlink(missing_ok=True)
        else:
            _shift(log)
            copy.replace(_old(log, 1))
        with log.open("r+b") as file:
            file.truncate(0)
    except OSError:
        return  # a full disk must not end the stack


class Follower:
    """Prints what a process appends to its log file."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._shown = 0
        self._begun = b""

    def show(self) -> None:
        """Print the lines that are complete since the last call."""
        with self._log.open("rb") as file:
            if file.seek(0, os.SEEK_END) < self._shown:
                self._shown = 0  # `copy_and_empty` emptied it
            file.seek(self._shown)
            added = file.read()
        self._shown += len(added)
        *lines, self._begun = (self._begun + added).split(b"\n")
        for line in lines:
            say(f"{self._log.stem:<16} | {line.decode(errors='replace')}")


def _shift(log: Path) -> None:
    for number in range(KEPT, 1, -1):
        with contextlib.suppress(FileNotFoundError):
            _old(log, number - 1).replace(_old(log, number))


def _old(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
