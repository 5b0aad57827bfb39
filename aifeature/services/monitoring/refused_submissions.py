"""Counts refused submissions by user and feature, so that operators see who runs into limits.

A refusal costs an addition in memory. The counts are written together after a request, every
FLUSH_S seconds at most, so a flood of refused requests writes no more than one. A killed process
loses the counts of its last seconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple

from django.db.models.functions import Now, TruncDate

from aifeature.models import RefusedSubmissions
from aifeature.models.functions import as_json, rows

logger = logging.getLogger(__name__)

FLUSH_S: Final = 10.0

MOST_KEYS: Final = 2_000
"""Users and features in memory. Further ones are not counted until the next flush."""

KEPT: Final = timedelta(days=40)
"""Age at which counts are deleted. The page about people shows 30 days."""

Kind = RefusedSubmissions.Kind

KINDS: Final = {
    "rate_limited": Kind.RATE_LIMITED,
    "budget_exhausted": Kind.BUDGET_EXHAUSTED,
    "access_blocked": Kind.BLOCKED,
}
"""By the code of the refusal. Other refusals are not counted here."""


class _Key(NamedTuple):
    user_id: int
    feature: str
    kind: str


class RefusedCounts:
    """The counts of this process. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[_Key] = Counter()
        self._not_before = clock()

    def note(self, user_id: int, feature: str, code: str) -> None:
        """Count a refused submission, if its code is one of KINDS."""
        kind = KINDS.get(code)
        if kind is None:
            return
        key = _Key(user_id, feature, str(kind))
        with self._lock:
            if key in self._counts or len(self._counts) < MOST_KEYS:
                self._counts[key] += 1

    def must_store(self) -> bool:
        """Return whether counts wait, and the last flush is FLUSH_S seconds ago."""
        return bool(self._counts) and self._clock() >= self._not_before

    def store(self) -> None:
        """Write all counts. Never raises; counts that are not stored wait for the next flush."""
        with self._lock:
            if not self.must_store():  # another thread was faster
                return
            self._not_before = self._clock() + FLUSH_S
            counts, self._counts = self._counts, Counter()
        found = [{**key._asdict(), "count": n} for key, n in counts.items()]
        try:
            rows("aif_count_refused", as_json(found))
        except Exception as error:  # noqa: BLE001 (see the docstring)
            logger.warning("refused submissions not stored yet: %s", type(error).__name__)
            with self._lock:
                for key, n in counts.items():
                    if key in self._counts or len(self._counts) < MOST_KEYS:
                        self._counts[key] += n


counts: Final = RefusedCounts()


def prune(*, kept: timedelta = KEPT) -> int:
    """Delete old counts. Return the number of deleted rows."""
    return RefusedSubmissions.objects.filter(day__lt=TruncDate(Now() - kept)).delete()[0]
