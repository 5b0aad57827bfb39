"""Write uncaught exceptions and warnings to standard error, without the values they quote."""

from __future__ import annotations

import sys
import threading
import warnings
from types import TracebackType
from typing import Any, Final

from celery.utils.log import LoggingProxy

from project import log_records, scrubbing
from project.log_lines import INDENT, printable

_ABOUT_CODE: Final = (
    DeprecationWarning,
    PendingDeprecationWarning,
    FutureWarning,
    ImportWarning,
    SyntaxWarning,
)


def install() -> None:
    """Remove exception messages and warning texts from this process's output.

    The settings call this, so it covers web, workers, beat, Flower and commands.
    """
    log_records.install()
    sys.excepthook = _uncaught
    sys.unraisablehook = _unraisable
    threading.excepthook = _in_thread
    warnings.formatwarning = _warning


def _uncaught(_: type[BaseException], error: BaseException, tb: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        _write("interrupted", [])
        return
    _write(f"uncaught: {scrubbing.kind(error)}", scrubbing.trace(error, tb))


def _in_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is None or isinstance(found.exc_value, SystemExit):
        return
    name = found.thread.name if found.thread else "unknown"
    error = found.exc_value
    _write(
        f"uncaught in thread {name}: {scrubbing.kind(error)}",
        scrubbing.trace(error, found.exc_traceback),
    )


def _unraisable(found: Any) -> None:
    error = found.exc_value
    if error is None:
        return
    where = type(found.object).__name__
    _write(
        f"ignored in a {where}: {scrubbing.kind(error)}",
        scrubbing.trace(error, found.exc_traceback),
    )


def _warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,  # noqa: ARG001 (the signature of `warnings.formatwarning`)
) -> str:
    """Return the line of a warning. Only warnings about code keep their text: others quote data."""
    text = f": {message}" if issubclass(category, _ABOUT_CODE) else ""
    return printable(f"{filename}:{lineno}: {category.__name__}{text}") + "\n"


def _write(first: str, below: list[str]) -> None:
    lines = [printable(first), *(INDENT + printable(line) for line in below)]
    # Celery's replacement of stderr would turn all lines into one record, and truncate it.
    out = sys.__stderr__ if isinstance(sys.stderr, LoggingProxy) else sys.stderr
    if out is not None:
        out.write("\n".join(lines) + "\n")
        out.flush()
