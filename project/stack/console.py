"""Lines on the terminal. A terminal that went away must not keep the stack from cleaning up."""

from __future__ import annotations

import contextlib
import sys


def say(line: str = "") -> None:
    """Print one line at once; silently nothing when the terminal or the pipe is gone."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)


def complain(line: str) -> None:
    """The same on standard error, for what went wrong."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def row(name: str, state: str, rest: str = "") -> None:
    """Print one aligned line of the start-up table."""
    say(f"{name:<16} {state:<8} {rest}".rstrip())
