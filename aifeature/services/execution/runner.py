"""One worker process from its first job to its last: run, and at SIGTERM stop without losing any.

Celery's threads pool waits for running tasks without end, so the grace period is ours: no more
claims, then time for what runs, then the calls are aborted and their jobs put back. A process that
cannot even do that, since the database is away, ends all the same: the lease brings its jobs back.
A process whose threads hang asks itself to stop in the same way.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

from django.db import Error as DatabaseError

from aifeature.models.functions import is_lock_timeout
from aifeature.services.dispatch import WorkerAgent
from aifeature.services.execution import job_run, lease

logger = logging.getLogger(__name__)

ABORT_AGAIN_S: Final = 0.2
"""A job that was just being claimed is found at the next look."""

EXIT_CODE: Final = 75
"""Of a process that ended itself (EX_TEMPFAIL in sysexits.h)."""


def _exit() -> None:
    """End without waiting for the threads that do not end."""
    logging.shutdown()
    os._exit(EXIT_CODE)


def _ask_to_stop() -> None:
    """Send SIGTERM to this process, as its supervisor does: Celery takes no more messages."""
    os.kill(os.getpid(), signal.SIGTERM)


class Runner:
    """Runs jobs; safe for any number of threads."""

    def __init__(
        self,
        keeper: lease.LeaseKeeper = lease.keeper,
        *,
        end: Callable[[], None] = _exit,
        ask_to_stop: Callable[[], None] = _ask_to_stop,
    ) -> None:
        """Prepare; `end` ends the process, `ask_to_stop` has it drained."""
        self._keeper = keeper
        self._end = end
        self._ask_to_stop = ask_to_stop
        self._feeder: WorkerAgent | None = None
        self._stopping = threading.Event()
        self._closed = threading.Event()

    def start(self, *, worker: str, slots: int) -> None:
        """Say that this process takes jobs, `slots` at once."""
        self._keeper.appear(worker, queue="llm", slots=slots, when_stuck=self._ask_to_stop)
        self._feeder = WorkerAgent()
        self._feeder.start()

    def run(self, job: UUID, *, worker: str) -> None:
        """Run a job if it is ours to run. A message that cannot become a run is handed back.

        Raises:
            django.db.Error: the database is away.
        """
        if self._stopping.is_set():
            self._hand_back(job)
            return
        try:
            job_run.run_feature(job, worker=worker)
        except DatabaseError as error:
            self._hand_back(job)
            if not is_lock_timeout(error):
                raise
            logger.info("job %s: handed back: %s", job, error)
        finally:
            if self._feeder is not None:
                self._feeder.job_ended()

    def drain(self, *, grace_s: float, end_s: float) -> None:
        """Take no more jobs; abort those that still run after `grace_s` seconds. Does not wait.

        The process ends itself if it has not ended `end_s` seconds after that.
        """
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._keeper.offer_none()
        threading.Thread(
            target=self._stop_after, args=(grace_s, end_s), name="grace-period", daemon=True
        ).start()

    def close(self) -> None:
        """The last job has ended: write down what is not written yet."""
        if self._feeder is not None:
            self._feeder.stop()
        self._keeper.leave()
        self._closed.set()

    def _stop_after(self, grace_s: float, end_s: float) -> None:
        end_at = time.monotonic() + grace_s + end_s
        logger.info("stopping: %d jobs have %.0f s to end", self._keeper.count(), grace_s)
        # Until the process has ended: that no job is held says nothing of one being claimed.
        if self._closed.wait(grace_s):
            return
        if count := self._keeper.count():
            logger.warning("stopping: %d jobs are aborted and go back to the queue", count)
        while time.monotonic() < end_at:
            self._keeper.abort_all(lease.STOPPING)
            if self._closed.wait(ABORT_AGAIN_S):
                return
        logger.error(
            "stopping: this process does not end by itself, %d jobs are left to their leases",
            self._keeper.count(),
        )
        self._end()

    def _hand_back(self, job: UUID) -> None:
        if self._feeder is not None:
            self._feeder.hand_back(job)


process: Final = Runner()
