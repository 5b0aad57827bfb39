"""One worker process from its first job to its last: run, and at SIGTERM stop without losing any.

Celery's threads pool waits for running tasks without end, so the grace period is ours: no more
claims, then time for what runs, then the calls are aborted and their jobs put back.
"""

from __future__ import annotations

import logging
import threading
from typing import Final
from uuid import UUID

from django.db import Error as DatabaseError

from aifeature.services import execution, lease
from aifeature.services.feeder import Feeder

logger = logging.getLogger(__name__)

ABORT_AGAIN_S: Final = 0.2
"""A job that was just being claimed is found at the next look."""


class Runner:
    """Runs jobs; safe for any number of threads."""

    def __init__(self, keeper: lease.LeaseKeeper = lease.keeper) -> None:
        self._keeper = keeper
        self._feeder: Feeder | None = None
        self._stopping = threading.Event()

    def start(self, *, worker: str, slots: int) -> None:
        """Say that this process takes jobs, `slots` at once."""
        self._feeder = Feeder(worker, slots)
        self._feeder.start()

    def run(self, job: UUID, *, worker: str) -> None:
        """Run a job if it is ours to run. A message that cannot become a run is handed back."""
        if self._stopping.is_set():
            self._hand_back(job)
            return
        try:
            execution.run_feature(job, worker=worker)
        except DatabaseError:
            self._hand_back(job)
            raise
        finally:
            if self._feeder is not None:
                self._feeder.job_ended()

    def drain(self, *, grace_s: float) -> None:
        """Take no more jobs; abort those that still run after `grace_s` seconds. Does not wait."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._feeder is not None:
            self._feeder.offer_none()
        threading.Thread(
            target=self._abort_after, args=(grace_s,), name="grace-period", daemon=True
        ).start()

    def close(self) -> None:
        """The last job has ended: write down what is not written yet."""
        if self._feeder is not None:
            self._feeder.stop()

    def _abort_after(self, grace_s: float) -> None:
        logger.info("stopping: %d jobs have %.0f s to end", self._keeper.count(), grace_s)
        if self._keeper.wait_idle(grace_s):
            return
        logger.warning(
            "stopping: %d jobs are aborted and go back to the queue", self._keeper.count()
        )
        while not self._keeper.wait_idle(ABORT_AGAIN_S):
            self._keeper.abort_all(lease.STOPPING)

    def _hand_back(self, job: UUID) -> None:
        if self._feeder is not None:
            self._feeder.hand_back(job)


process: Final = Runner()
