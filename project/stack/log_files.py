"""Log files of the local stack: none grows beyond a size, and a few old ones are kept."""

from __future__ import annotations

import contextlib
import shutil
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 10_000_000
"""Bytes of one file."""

KEPT: Final = 3
"""Old files beside it, `<name>.log.1` being the latest."""


def rotate(log: Path) -> None:
    """Make room for a new file. The present one becomes `<name>.log.1`."""
    if log.exists():
        _shift(log)
        log.replace(_old(log, 1))


def copy_and_empty(log: Path) -> None:
    """Rotate the file of a process that writes to it by itself, if it is too large.

    Its descriptor appends, so it goes on at the beginning of the emptied file. What it writes
    between the copy and the emptying is lost.
    """
    try:
        if log.stat().st_size <= LARGEST:
            return
        _shift(log)
        shutil.copyfile(log, _old(log, 1))
        with log.open("r+b") as file:
            file.truncate(0)
    except OSError:
        return  # a full disk must not end the stack


class LogFile:
    """A file that its writer rotates when it is full."""

    def __init__(self, path: Path) -> None:
        """Open it; what is there already stays."""
        self._path = path
        self._file = self._opened()

    def write(self, data: bytes) -> None:
        """Append. A line goes whole into one file.

        Raises:
            OSError: the disk takes no more.
        """
        if self._file.tell() + len(data) > LARGEST and self._file.tell():
            rotate(self._path)  # if it fails, the next line tries again
            full, self._file = self._file, self._opened()
            full.close()
        self._file.write(data)

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def _opened(self) -> IO[bytes]:
        return self._path.open("ab", buffering=0)


def _shift(log: Path) -> None:
    for number in range(KEPT, 1, -1):
        with contextlib.suppress(FileNotFoundError):
            _old(log, number - 1).replace(_old(log, number))


def _old(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
