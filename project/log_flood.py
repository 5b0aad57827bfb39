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


class RefusalFilter(logging.Filter):
    """Lets through the first refusals of a minute, by status, and counts the others.

    The first one of a later minute says how many lines were left out before it. Whatever is not
    about an answer of 4xx or 503 passes: a defect is never left out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock()
        self._seen: Counter[int] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record."""
        status: object = getattr(record, "status_code", None)
        if not isinstance(status, int) or (status >= 500 and status != _UNAVAILABLE):  # noqa: PLR2004 (HTTP)
            return True
        with self._lock:
            record.left_out = self._left_out_before()
            self._seen[status] += 1
            return self._seen[status] <= PER_MINUTE

    def _left_out_before(self) -> str:
        """How many lines of which status were left out, if a minute is over; else nothing."""
        now = self._clock()
        if now - self._since < _WINDOW_S:
            return ""
        seen, self._seen, self._since = self._seen, Counter(), now
        counts = {status: count - PER_MINUTE for status, count in sorted(seen.items())}
        more = ", ".join(f"{count:,} of {status}" for status, count in counts.items() if count > 0)
        return more and f"left out before this line: {more}"
