"""Print lines on the terminal. A closed terminal does not keep the stack from cleaning up."""

from __future__ import annotations

import contextlib
import sys

NOTE = "note: "
"""Begins each line of a step's output that the stack shows on the terminal."""


def say(line: str = "") -> None:
    """Print one line without buffering. Do nothing if the terminal or the pipe is closed."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)


def complain(line: str) -> None:
    """Print one line about an error on standard error, in the same way."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def row(name: str, state: str, rest: str = "") -> None:
    """Print one aligned line of the start-up table."""
    say(f"{name:<16} {state:<8} {rest}".rstrip())
