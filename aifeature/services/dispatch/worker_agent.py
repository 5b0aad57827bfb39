"""What a worker process does for the dispatch of jobs, beside running them.

One thread: it refills the window soon after a job has ended here, hands back messages that will not
become a run, and stands in for the control worker as a watcher.
"""

from __future__ import annotations

import logging
import threading
from typing import Final
from uuid import UUID

from django.db import Error as DatabaseError

from aifeature.services import watch
from aifeature.services.dispatch import publisher

logger = logging.getLogger(__name__)

MOST_SLEEP_S: Final = 5.0
"""Seconds between two turns while nothing ends here."""

COALESCE_S: Final = 0.05
"""Least seconds between two turns: jobs that end together are followed up by one statement."""

RETRY_S: Final = 1.0
"""Seconds until what could not be handed back is tried again."""


class Feeder:
    """The feeder of one process; safe for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handed_back: set[UUID] = set()
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self._watcher = watch.Watcher(after_s=watch.STAND_IN_S)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._wake.set()
        self._thread.start()

    def job_ended(self) -> None:
        """There is room for another job."""
        self._wake.set()

    def hand_back(self, job: UUID) -> None:
        """The message for this job was taken here and will not become a run."""
        with self._lock:
            self._handed_back.add(job)
        self._wake.set()

    def stop(self) -> None:
        """End after a last turn."""
        self._stopped = True
        self._wake.set()
        self._thread.join(MOST_SLEEP_S)

    def turn(self) -> None:
        """Once through all of it.

        Raises:
            django.db.Error: the database is away; what is to be handed back is kept.
        """
        with self._lock:
            jobs = set(self._handed_back)
        if jobs:
            locked = publisher.take_back(list(jobs))
            with self._lock:
                self._handed_back -= jobs - locked
        publisher.refill()

    def _run(self) -> None:
        idle = threading.Event()
        while not self._stopped:
            self._wake.wait(RETRY_S if self._handed_back else MOST_SLEEP_S)
            self._wake.clear()
            self._turn_or_log()
            self._watcher.look()
            idle.wait(COALESCE_S)
        self._turn_or_log()

    def _turn_or_log(self) -> None:
        try:
            self.turn()
        except DatabaseError as error:
            logger.warning("feeder: the database does not answer, trying again: %s", error)
        except Exception:  # a defect must not end the thread
            logger.exception("feeder: a turn failed, trying again")
