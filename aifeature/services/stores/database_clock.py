"""The database's clock, for decisions that a process makes without a query."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import Error

from aifeature.models.functions import connected, database_now

logger = logging.getLogger(__name__)

READ_S: Final = 60.0
"""Age in seconds at which the database's time is read again."""


class DatabaseClock:
    """The database's time, from one reading a minute. Thread-safe.

    Between readings it advances with a monotonic clock, also while the database cannot be read.
    Before the first reading it is the host's clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._read: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """Return the current time in UTC. Never raises."""
        if self._clock() - self._read_at >= READ_S and self._lock.acquire(blocking=False):
            try:
                self._reread()
            finally:
                self._lock.release()
        if self._read is None:
            return datetime.now(UTC)
        moment, read_at = self._read
        return moment + timedelta(seconds=self._clock() - read_at)

    def _reread(self) -> None:
        self._read_at = self._clock()
        try:
            with connected():
                moment = database_now()
        except Error as error:
            logger.warning("clock: cannot read the database's time: %s", type(error).__name__)
        else:
            self._read = moment, self._clock()


clock = DatabaseClock()
