"""Log records without messages of exceptions, also those of libraries.

A record's traceback and arguments are replaced when the record is made. So this covers every
handler: this project's, those of the web server and Celery, and Sentry's.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, TextIO

from project import scrubbing

_WORDS: Final = re.compile(r"[A-Za-z ]*")
"""The part of asyncio's messages to keep: the rest is the repr of callbacks and arguments."""

_DEEPEST: Final = 8
"""Depth of nested containers that are searched for exceptions. A dict counts as two levels."""


class Record(logging.LogRecord):
    """A record that shows the types and codes of exceptions instead of their messages."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        """Make a record as `logging` does, and remove the messages of exceptions."""
        super().__init__(*arguments, **more)
        if isinstance(self.msg, BaseException):
            self.msg, self.args = "%s", (self.msg,)
        given: Any = self.args
        self.args = _argument(dict(given) if isinstance(given, Mapping) else given)
        error, tb = _raised(self.exc_info)
        if error is not None and self.exc_info:
            self.exc_text = "\n".join(scrubbing.trace(error, tb))
        self._settle(error or sys.exc_info()[1])

    def _settle(self, error: BaseException | None) -> None:
        """Replace the text if it quotes an exception. Other records keep text and arguments."""
        if self.name == "asyncio" and self.levelno >= logging.ERROR:
            found = _WORDS.match(str(self.msg))
            self.msg, self.args = (found[0].strip() if found else ""), ()
        if error is None:
            return
        try:
            text = self.getMessage()
        except Exception:  # noqa: BLE001 (the handler reports the error)
            return
        template = str(self.msg) if self.args else ""
        settled = scrubbing.without_texts(text, error, template=template)
        if settled != text:
            self.msg, self.args = "%s", (settled,)


class _Kind:
    """Replaces an exception in the arguments of a record."""

    def __init__(self, error: BaseException) -> None:
        self._shown = scrubbing.kind(error)

    def __str__(self) -> str:
        return self._shown

    __repr__ = __str__


class StandardError(logging.StreamHandler[TextIO]):
    """Writes to standard error. A failed write is reported there in one line."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Report a lost record without its arguments, which `logging` would write."""
        error = sys.exc_info()[1]
        if error is None or isinstance(error, OSError):
            return  # the file accepts no writes
        with suppress(OSError, ValueError):
            self.stream.write(
                f"a record of {record.name}, line {record.lineno} of {record.filename}, was not"
                f" written: {scrubbing.kind(error)}\n"
            )


def install() -> None:
    """Make every log record of this process a `Record`."""
    logging.setLogRecordFactory(Record)
    logging.raiseExceptions = False  # otherwise library handlers write a record's arguments


def _argument(value: Any, depth: int = 0) -> Any:
    """Return the argument without exceptions. Return the same object if it contains none."""
    if isinstance(value, BaseException):
        return str(value) if scrubbing.text_is_ours(value) else _Kind(value)
    if depth == _DEEPEST or not isinstance(value, (dict, list, tuple, set, frozenset)):
        return value
    parts = list(value.items() if isinstance(value, dict) else value)
    found = [_argument(part, depth + 1) for part in parts]
    if all(new is old for new, old in zip(found, parts, strict=True)):
        return value
    make = next(kind for kind in (dict, list, tuple, set, frozenset) if isinstance(value, kind))
    return make(found)


def _raised(exc_info: Any) -> tuple[BaseException | None, Any]:
    if not isinstance(exc_info, tuple) or not isinstance(exc_info[1], BaseException):
        return None, None
    return exc_info[1], exc_info[2]
