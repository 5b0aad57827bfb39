"""Turns of calls that share few processes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """Gives out at most `most` turns at the same time, and half of them to one feature.

    The feature with the fewest turns goes first, so the calls of a feature that hangs wait for each
    other. A call waits until other calls have ended. Each of those has its time limit.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()
        self._waiting: list[tuple[str, threading.Event]] = []

    @contextmanager
    def turn(self, slug: str) -> Iterator[None]:
        """Wait for a turn of this feature, and hold it."""
        mine = threading.Event()
        with self._lock:
            self._waiting.append((slug, mine))
            self._give()
        mine.wait()
        try:
            yield
        finally:
            with self._lock:
                self._taken[slug] -= 1
                self._give()

    def _give(self) -> None:
        while self._taken.total() < self._most:
            places = [
                (self._taken[slug], place)
                for place, (slug, _) in enumerate(self._waiting)
                if self._taken[slug] < self._most // 2
            ]
            if not places:
                return
            slug, event = self._waiting.pop(min(places)[1])
            self._taken[slug] += 1
            event.set()
