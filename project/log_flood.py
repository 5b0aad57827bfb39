"""Filters that limit the number of log lines about refused requests."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

PER_MINUTE: Final = 60
"""Lines of one kind that a process writes within a minute."""

_WINDOW_S: Final = 60.0

_UNAVAILABLE: Final = 503


class FloodFilter(logging.Filter):
    """Passes the first lines of a kind within a minute, and counts the others.

    The first line of a later minute shows the number of lines left out before it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock()
        self._seen: Counter[str] = Counter()

    def kind(self, record: logging.LogRecord) -> str:
        """Return the kind under which the record is counted. An empty kind always passes."""
        raise NotImplementedError

    def filter(self, record: logging.LogRecord) -> bool:
        kind = self.kind(record)
        if not kind:
            return True
        with self._lock:
            record.left_out = self._left_out_before()
            self._seen[kind] += 1
            return self._seen[kind] <= PER_MINUTE

    def _left_out_before(self) -> str:
        """Return the counts of lines left out, once per minute. Otherwise return ""."""
        now = self._clock()
        if now - self._since < _WINDOW_S:
            return ""
        seen, self._seen, self._since = self._seen, Counter(), now
        counts = {kind: count - PER_MINUTE for kind, count in sorted(seen.items())}
        more = ", ".join(f"{count:,} of {kind}" for kind, count in counts.items() if count > 0)
        return more and f"left out before this line: {more}"


class RefusalFilter(FloodFilter):
    """Counts responses of 4xx and 503 by status. All other lines pass, so no defect is left out."""

    def kind(self, record: logging.LogRecord) -> str:
        status: object = getattr(record, "status_code", None)
        if not isinstance(status, int) or (status >= 500 and status != _UNAVAILABLE):  # noqa: PLR2004 (HTTP)
            return ""
        return str(status)


class WarningFilter(FloodFilter):
    """Counts warnings of a library's server by their text. Any client can cause them."""

    def kind(self, record: logging.LogRecord) -> str:
        """Return the text without its arguments."""
        return str(record.msg) if record.levelno <= logging.WARNING else ""


class ServerFilter(WarningFilter):
    """A `WarningFilter` for a server with its own handler, which writes only the text."""

    def filter(self, record: logging.LogRecord) -> bool:
        passes = super().filter(record)
        if left_out := getattr(record, "left_out", ""):
            record.msg, record.args = f"({left_out}) {record.getMessage()}", None
        return passes
