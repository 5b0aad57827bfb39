"""Limit of one process's retries to a share of its first calls, so that outages do not amplify.

The budget is checked when a retry is about to be sent, not when it is scheduled. Otherwise the
retries that were scheduled during an outage would all be sent at its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

RATIO: Final = 0.2
FLOOR: Final = 10
WINDOW_S: Final = 10.0
"""In `WINDOW_S` seconds at most `RATIO` retries for each first call, and `FLOOR` more, so that a
process with few calls can retry."""

_SLICES: Final = 10


class RetryBudget:
    """Budget of retries in a sliding window. Thread-safe.

    As in the retry quota of the AWS SDKs, an answered retry is given back: only retries that failed
    or are in flight count, so a backlog drains quickly after the provider recovers. Operations take
    constant time and memory. In exchange the window moves in tenths: a retry counts up to a tenth
    longer, a first call up to a tenth shorter.
    """

    def __init__(
        self,
        *,
        ratio: float = RATIO,
        floor: int = FLOOR,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ratio = ratio
        self._floor = floor
        self._slice_s = window_s / _SLICES
        self._clock = clock
        self._lock = threading.Lock()
        self._now = 0
        # By slice, newest last. One more than the window has, because the newest is incomplete.
        self._firsts = [0] * (_SLICES + 1)
        self._retries = [0] * (_SLICES + 1)

    def deposit(self) -> None:
        """Record that a first call is about to be sent."""
        with self._lock:
            self._slide()
            self._firsts[-1] += 1

    def withdraw(self) -> int | None:
        """Reserve a retry. Return the argument for `give_back`. None: do not send it now."""
        with self._lock:
            self._slide()
            allowed = self._floor + self._ratio * sum(self._firsts[1:])
            if sum(self._retries) + 1 > allowed:
                return None
            self._retries[-1] += 1
            return self._now

    def give_back(self, withdrawal: int) -> None:
        """Give back a retry that was answered or not sent."""
        with self._lock:
            self._slide()
            age = self._now - withdrawal
            if age < len(self._retries):
                self._retries[-1 - age] -= 1

    def _slide(self) -> None:
        now = int(self._clock() / self._slice_s)
        passed = min(max(0, now - self._now), _SLICES + 1)
        self._now = max(now, self._now)
        if passed:
            for counts in (self._firsts, self._retries):
                counts[:] = counts[passed:] + [0] * passed
