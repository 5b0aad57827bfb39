"""Log lines about commands that the broker refused. Repeated refusals are not logged again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from aifeature.policies import redis_replies

logger = logging.getLogger(__name__)

AGAIN_S: Final = 60.0
"""Seconds after which the same refusal is logged again."""


class Refusals:
    """Logs each refusal at most once a minute. Safe for any number of threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._logged_at: dict[tuple[str, str], float] = {}

    def note(self, what: str, error: Exception) -> None:
        """Log a refusal, unless the same one was logged less than a minute ago.

        Args:
            what: The refused command, in a few fixed words.
            error: The error of redis-py. Its text is not logged, since it may quote a command.
        """
        word = redis_replies.word(error)
        now = self._clock()
        with self._lock:
            if now - self._logged_at.get((what, word), float("-inf")) < AGAIN_S:
                return
            self._logged_at[what, word] = now
        logger.error(
            "broker: %s was refused (%s). %s This process continues and tries again."
            " See deploy/runbooks/refusing-services.md.",
            *(what, redis_replies.code(error) or type(error).__name__),
            redis_replies.sentence(word),
        )


refusals: Final = Refusals()
