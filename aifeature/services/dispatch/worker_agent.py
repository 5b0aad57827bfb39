"""What a worker process does for the dispatch of jobs, beside running them.

One thread: it refills the window soon after a job has ended here, hands back messages that will not
become a run, and stands in for the control worker as a watcher.
"""

from __future__ import annotations

import logging
import threading
from typing import Final
from uuid import UUID

from aifeature.services import watch
from aifeature.services.background import Loop
from aifeature.services.dispatch import publisher

logger = logging.getLogger(__name__)

MOST_SLEEP_S: Final = 5.0
"""Seconds between two turns while nothing ends here."""

COALESCE_S: Final = 0.05
"""Least seconds between two turns: jobs that end together are followed up by one statement."""

RETRY_S: Final = 1.0
"""Seconds until what could not be handed back is tried again."""


class WorkerAgent:
    """The feeder of one process; safe for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handed_back: set[UUID] = set()
        self._loop = Loop(
            "feeder", self._look_and_turn, retry_s=RETRY_S, least_s=COALESCE_S, has_last_turn=True
        )
        self._watcher = watch.Watcher(after_s=watch.STAND_IN_S)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._loop.wake()

    def job_ended(self) -> None:
        """There is room for another job."""
        self._loop.wake()

    def hand_back(self, job: UUID) -> None:
        """The message for this job was taken here and will not become a run."""
        with self._lock:
            self._handed_back.add(job)
        self._loop.wake()

    def stop(self) -> None:
        """End after a last turn."""
        self._loop.stop(within_s=MOST_SLEEP_S)

    def turn(self) -> None:
        """Once through all of it.

        Raises:
            django.db.Error: the database is away; what is to be handed back is kept.
        """
        with self._lock:
            jobs = set(self._handed_back)
        if jobs:
            locked = publisher.unpublish(list(jobs))
            with self._lock:
                self._handed_back -= jobs - locked
        publisher.refill()

    def _look_and_turn(self) -> float:
        try:
            self.turn()
        finally:
            self._watcher.look()
        return RETRY_S if self._handed_back else MOST_SLEEP_S
