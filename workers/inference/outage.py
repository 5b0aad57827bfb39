"""State of a service that may be down, so that few callers wait for a timeout."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Outage:
    """The state of one service. A failure stops calls for `pause_s` seconds. Thread-safe."""

    def __init__(self, pause_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._is_down = False
        self._until = float("-inf")

    @property
    def in_cooldown(self) -> bool:
        return self._is_down and self._clock() < self._until

    def may_try(self) -> bool:
        """Return whether to call the service: always if it is up, else once after each pause."""
        if not self._is_down:
            return True
        with self._lock:
            now = self._clock()
            if now < self._until:
                return False
            self._until = now + self._pause_s
            return True

    def failed(self) -> bool:
        """Record a failed call. Return whether it begins an outage."""
        with self._lock:
            begins = not self._is_down
            self._is_down = True
            self._until = self._clock() + self._pause_s
            return begins

    def succeeded(self) -> bool:
        """Record an answer. Return whether it ends an outage."""
        if not self._is_down:
            return False
        with self._lock:
            ends = self._is_down
            self._is_down = False
            return ends
