"""The format of log lines: bounded in length, one line per record, and impossible to forge.

A traceback follows its record in indented lines. So each line that begins at the margin is a
record, even if a request puts line ends into a path, a header or an exception's message.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from aifeature.services.texts import references, web_addresses
from project import scrubbing

LONGEST: Final = 2_000
"""Most characters of one line."""

LONGEST_REFUSAL: Final = 300
"""Most characters of the line about a refused request, whose path may be very long."""

TRACE_HEAD: Final = 10
TRACE_TAIL: Final = 60
"""Lines that are kept of a traceback's beginning, and of its end with the cause."""

INDENT: Final = "    "

_ERROR: Final = 500


OF_VISITORS: Final = frozenset({"axes", "django", "tornado"})
"""Libraries whose lines quote paths, hosts and headers that visitors send."""


def is_refusal(record: logging.LogRecord) -> bool:
    """Return whether the record is Django's, about a request that was answered with 4xx."""
    status: object = getattr(record, "status_code", None)
    return isinstance(status, int) and status < _ERROR


class LineFormatter(logging.Formatter):
    """Formats a record as one line in UTC, with its traceback in the lines below.

    During a request the line begins with its reference.

    A refusal, such as 404 or 403, is expected and gets no traceback. `extra={"where": text}` adds
    the frames of a traceback without the message of its exception. `log_flood.FloodFilter` sets
    `left_out`.
    """

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and indented lines for its traceback."""
        record.message = record.getMessage()
        if record.name.partition(".")[0] in OF_VISITORS:
            record.message = web_addresses.safe(record.message)
        if reference := references.current():
            record.message = f"[{reference}] {record.message}"
        if left_out := getattr(record, "left_out", ""):
            record.message = f"({left_out}) {record.message}"
        record.asctime = self.formatTime(record, self.datefmt)
        if is_refusal(record):
            return printable(self.formatMessage(record), LONGEST_REFUSAL)
        return "\n".join((printable(self.formatMessage(record)), *self._below(record)))

    def formatException(self, ei: Any) -> str:  # noqa: N802 (logging's name)
        """Return the traceback without messages, for a record of another class than `Record`."""
        return "\n".join(scrubbing.trace(ei[1], ei[2])) if ei[1] is not None else ""

    def _below(self, record: logging.LogRecord) -> list[str]:
        lines: list[str] = []
        if record.exc_info:
            lines += (record.exc_text or self.formatException(record.exc_info)).splitlines()
        lines += getattr(record, "where", "").splitlines()
        if record.stack_info:
            lines += self.formatStack(record.stack_info).splitlines()
        left_out = len(lines) - TRACE_HEAD - TRACE_TAIL
        if left_out > 0:
            lines[TRACE_HEAD:-TRACE_TAIL] = [f"... {left_out} lines left out ..."]
        return [INDENT + printable(line) for line in lines]


def printable(text: str, longest: int = LONGEST) -> str:
    """Return the text on one line of at most `longest` characters.

    Characters that are not printable are escaped as in Python: line ends, control characters, marks
    that reverse the direction of a line, and halves of surrogate pairs, which cannot be encoded.
    """
    shown = text[: longest + 1]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else _escaped(c) for c in shown)
    if len(shown) <= longest:
        return shown
    note = f"... ({len(text):,} characters)"
    return shown[: longest - len(note)] + note


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
