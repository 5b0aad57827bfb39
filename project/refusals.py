"""What a worker does when its broker answers with an error: it says so once, and goes on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from aifeature.policies import redis_replies

logger = logging.getLogger(__name__)

AGAIN_S: Final = 60.0
"""Seconds after which the same refusal is logged once more."""


class Refusals:
    """Remembers what was logged; safe for any number of threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare; `clock` gives seconds that never go back."""
        self._clock = clock
        self._lock = threading.Lock()
        self._logged_at: dict[tuple[str, str], float] = {}

    def note(self, what: str, error: Exception) -> None:
        """Log that the broker refused something, if that is news.

        Args:
            what: Was refused; a few fixed words, since they are remembered.
            error: Of redis-py. Its text is not logged: it may quote a command.
        """
        word = redis_replies.word(error)
        now = self._clock()
        with self._lock:
            if now - self._logged_at.get((what, word), float("-inf")) < AGAIN_S:
                return
            self._logged_at[what, word] = now
        logger.error(
            "broker: %s was refused (%s). %s This process goes on and tries again."
            " See deploy/runbooks/refusing-services.md.",
            *(what, redis_replies.code(error) or type(error).__name__),
            redis_replies.sentence(word),
        )


refusals: Final = Refusals()
"""Of this process."""
