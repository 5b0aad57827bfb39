"""Keeps requests that are refused again and again from filling the disk with their lines."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

PER_MINUTE: Final = 60
"""Lines about answers of one status that a process writes within a minute."""

_WINDOW_S: Final = 60.0

_UNAVAILABLE: Final = 503


class FloodFilter(logging.Filter):
    """Lets through the first lines of a kind within a minute, and counts the others.

    The first one of a later minute says how many lines were left out before it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock()
        self._seen: Counter[str] = Counter()

    def kind(self, record: logging.LogRecord) -> str:
        """What the record is counted as; empty: it always passes."""
        raise NotImplementedError

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record."""
        kind = self.kind(record)
        if not kind:
            return True
        with self._lock:
            record.left_out = self._left_out_before()
            self._seen[kind] += 1
            return self._seen[kind] <= PER_MINUTE

    def _left_out_before(self) -> str:
        """How many lines of which kind were left out, if a minute is over; else nothing."""
        now = self._clock()
        if now - self._since < _WINDOW_S:
            return ""
        seen, self._seen, self._since = self._seen, Counter(), now
        counts = {kind: count - PER_MINUTE for kind, count in sorted(seen.items())}
        more = ", ".join(f"{count:,} of {kind}" for kind, count in counts.items() if count > 0)
        return more and f"left out before this line: {more}"


class RefusalFilter(FloodFilter):
    """Counts answers of 4xx and 503, by status. Any other line passes: no defect is left out."""

    def kind(self, record: logging.LogRecord) -> str:
        """The status."""
        status: object = getattr(record, "status_code", None)
        if not isinstance(status, int) or (status >= 500 and status != _UNAVAILABLE):  # noqa: PLR2004 (HTTP)
            return ""
        return str(status)


class WarningFilter(FloodFilter):
    """Counts warnings of a library's server, by their text: anybody can send what is refused."""

    def kind(self, record: logging.LogRecord) -> str:
        """The text, without what is put into it."""
        return str(record.msg) if record.levelno <= logging.WARNING else ""


class ServerFilter(WarningFilter):
    """The same, for a server whose handler is its own and shows nothing but the text."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record."""
        passes = super().filter(record)
        if left_out := getattr(record, "left_out", ""):
            record.msg, record.args = f"({left_out}) {record.getMessage()}", None
        return passes
