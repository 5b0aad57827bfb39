"""Log records that hold no message of an exception, whichever library makes and writes them.

What a formatter adds below a record, and what it fills into its text, is settled when the record is
made. So it holds for every handler: ours, those of the web server and of Celery, and Sentry's.
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
"""What is kept of asyncio's messages: the rest is the repr of callbacks and their arguments."""


_DEEPEST: Final = 8
"""How deep in containers exceptions are looked for; a dict counts twice, as a list of pairs."""


class Record(logging.LogRecord):
    """A record whose exceptions are written by their types and codes."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        """Make a record as `logging` does, and take out what exceptions say."""
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
        """Replace the text, if it quotes an exception. Other records keep text and arguments."""
        if self.name == "asyncio" and self.levelno >= logging.ERROR:
            found = _WORDS.match(str(self.msg))
            self.msg, self.args = (found[0].strip() if found else ""), ()
        if error is None:
            return
        try:
            text = self.getMessage()
        except Exception:  # noqa: BLE001 (the handler reports it)
            return
        template = str(self.msg) if self.args else ""
        settled = scrubbing.without_texts(text, error, template=template)
        if settled != text:
            self.msg, self.args = "%s", (settled,)


class _Kind:
    """Stands for an exception among the arguments of a record."""

    def __init__(self, error: BaseException) -> None:
        self._shown = scrubbing.kind(error)

    def __str__(self) -> str:
        return self._shown

    __repr__ = __str__


class StandardError(logging.StreamHandler[TextIO]):
    """Writes to standard error. What goes wrong meanwhile is one line there, and no more."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Say that a record was lost. By default its arguments would be written."""
        error = sys.exc_info()[1]
        if error is None or isinstance(error, OSError):
            return  # the file takes nothing, so it takes no complaint either
        with suppress(OSError, ValueError):
            self.stream.write(
                f"a record of {record.name}, line {record.lineno} of {record.filename}, was not"
                f" written: {scrubbing.kind(error)}\n"
            )


def install() -> None:
    """Make every record of this process one of ours."""
    logging.setLogRecordFactory(Record)
    logging.raiseExceptions = False  # handlers of libraries would write the arguments of a record


def _argument(value: Any, depth: int = 0) -> Any:
    """The argument as it may be written. One that holds no exception stays the same object."""
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
