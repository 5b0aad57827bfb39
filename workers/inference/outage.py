"""Remembers that a service is down, so that its outage costs few callers a time-out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Outage:
    """The state of one service as its callers find it; safe for any number of threads."""

    def __init__(self, pause_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare; the service counts as up.

        Args:
            pause_s: Seconds after a failure in which callers stay away.
            clock: Seconds that never go back.
        """
        self._pause_s = pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._is_down = False
        self._until = float("-inf")

    @property
    def in_cooldown(self) -> bool:
        """Whether a call failed less than `pause_s` seconds ago."""
        return self._is_down and self._clock() < self._until

    def may_try(self) -> bool:
        """Whether to call the service: always while it is up, one caller after each pause."""
        if not self._is_down:
            return True
        with self._lock:
            now = self._clock()
            if now < self._until:
                return False
            self._until = now + self._pause_s
            return True

    def failed(self) -> bool:
        """Note a failed call. Return whether the outage begins with it."""
        with self._lock:
            begins = not self._is_down
            self._is_down = True
            self._until = self._clock() + self._pause_s
            return begins

    def succeeded(self) -> bool:
        """Note an answer. Return whether it ends an outage."""
        if not self._is_down:
            return False
        with self._lock:
            ends = self._is_down
            self._is_down = False
            return ends
