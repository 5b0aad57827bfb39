"""What a worker process does for the dispatch of jobs, beside running them.

One thread: it shows that the process lives and how many jobs it runs at once, refills the window
soon after a job has ended here, hands back messages that will not become a run, and stands in for
the control worker as a watcher.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final
from uuid import UUID

from django.db import Error as DatabaseError

from aifeature.models import turns
from aifeature.services import dispatch, watch

logger = logging.getLogger(__name__)

PRESENCE_S: Final = 5.0
"""Seconds between two signs of life; aif_slots counts a worker for twenty."""

COALESCE_S: Final = 0.05
"""Least seconds between two turns: jobs that end together are followed up by one statement."""

RETRY_S: Final = 1.0
"""Seconds until what could not be handed back is tried again."""


class Feeder:
    """The feeder of one process; safe for any number of threads."""

    def __init__(self, worker: str, slots: int) -> None:
        """Prepare; `worker` is its name, `slots` how many jobs it runs at once."""
        self._worker = worker
        self._slots = slots
        self._present_at = float("-inf")
        self._told: int | None = None
        self._lock = threading.Lock()
        self._handed_back: set[UUID] = set()
        self._stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)
        self._watcher = watch.Watcher(after_s=watch.STAND_IN_S)

    def start(self) -> None:
        """Begin, in a thread of its own, with a sign of life."""
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

    def offer_none(self) -> None:
        """This process takes no more jobs."""
        self._slots = 0
        self._wake.set()

    def stop(self) -> None:
        """End after a last turn."""
        self._stopped = True
        self._wake.set()
        self._thread.join(PRESENCE_S)

    def turn(self) -> None:
        """Once through all of it.

        Raises:
            django.db.Error: the database is away; what is to be handed back is kept.
        """
        slots = self._slots  # may change while the database is told
        if slots != self._told or time.monotonic() - self._present_at >= PRESENCE_S:
            turns.presence(self._worker, slots=slots)
            self._told, self._present_at = slots, time.monotonic()
        with self._lock:
            jobs = list(self._handed_back)
        if jobs:
            dispatch.take_back(jobs)
            with self._lock:
                self._handed_back.difference_update(jobs)
        dispatch.refill()

    def _run(self) -> None:
        idle = threading.Event()
        while not self._stopped:
            self._wake.wait(RETRY_S if self._handed_back else PRESENCE_S)
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
