"""The mark of synthetic data. Every page shows it, so that made-up figures are not taken for real.

It is read once a minute in each process, and never with a real provider: only the local stack's
database may have synthetic data.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import Error

from aifeature.models import DemoData
from aifeature.models.functions import connected

logger = logging.getLogger(__name__)

READ_S: Final = 60.0
"""Age in seconds at which the row is read again."""


class DemoDataReader:
    """The moment of the load, from one query a minute. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._before: datetime | None = None

    def before(self) -> datetime | None:
        """Return the moment before which all figures are made up; None if none are. Never raises.

        It may take a query.
        """
        if settings.AIFEATURE["PROVIDER"] != "sandbox":
            return None
        if self._clock() - self._read_at >= READ_S and self._lock.acquire(blocking=False):
            try:
                self._read()
            finally:
                self._lock.release()
        return self._before

    def known(self) -> datetime | None:
        """Return the same as of the last reading, for pages that need no database."""
        return self._before

    def forget(self) -> None:
        """Read the row again at the next call."""
        self._read_at = float("-inf")

    def _read(self) -> None:
        self._read_at = self._clock()
        try:
            with connected():
                found = DemoData.objects.values_list("loaded_at", flat=True).first()
        except Error as error:
            logger.warning("the mark of synthetic data is not read: %s", type(error).__name__)
        else:
            self._before = found


reader = DemoDataReader()
