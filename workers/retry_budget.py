"""Keeps the retries of one process to a share of its first calls, so that no outage is amplified.

Asked when a retry is about to be sent. Asked when it is scheduled, the retries that piled up
during an outage would all be sent at its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

RATIO: Final = 0.2
FLOOR: Final = 10
WINDOW_S: Final = 10.0
"""At most so many retries for each first call, and so many more, in so many seconds."""

_SLICES: Final = 10


class RetryBudget:
    """Retries of a sliding window against its first calls; safe for any number of threads.

    A retry that was answered is given back, as in the retry quota of the AWS SDKs: what counts is
    those that failed or are under way, so a backlog drains quickly once the provider is well.
    Each operation takes constant time and memory, whatever the load. The price is that the window
    moves in tenths: a retry counts for up to a tenth longer, a first call up to a tenth shorter.
    """

    def __init__(
        self,
        *,
        ratio: float = RATIO,
        floor: int = FLOOR,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            ratio: Retries allowed for each first call of the window.
            floor: Retries allowed besides, so that a quiet process may retry at all.
            window_s: Length of the window in seconds.
            clock: Seconds that never go back.
        """
        self._ratio = ratio
        self._floor = floor
        self._slice_s = window_s / _SLICES
        self._clock = clock
        self._lock = threading.Lock()
        self._now = 0
        # By slice, newest last. One more than the window has, since the newest is not over yet.
        self._firsts = [0] * (_SLICES + 1)
        self._retries = [0] * (_SLICES + 1)

    def deposit(self) -> None:
        """A first call is about to be sent."""
        with self._lock:
            self._slide()
            self._firsts[-1] += 1

    def withdraw(self) -> int | None:
        """Ask to send a retry.

        Returns:
            What `give_back` takes; None: it must not be sent now.
        """
        with self._lock:
            self._slide()
            allowed = self._floor + self._ratio * sum(self._firsts[1:])
            if sum(self._retries) + 1 > allowed:
                return None
            self._retries[-1] += 1
            return self._now

    def give_back(self, withdrawal: int) -> None:
        """The retry was answered, or was not sent after all."""
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
