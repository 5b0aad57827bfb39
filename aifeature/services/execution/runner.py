"""The lifecycle of a worker process: run jobs, and at SIGTERM stop without losing a job.

Celery's threads pool waits without limit for running tasks, so the grace period is implemented
here: take no more jobs, give running jobs time, then abort their calls and requeue them. If the
database is unavailable, the process exits anyway and the leases expire. A process with stuck
threads stops itself in the same way.
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
from aifeature.services.dispatch import USERS, WorkerAgent
from aifeature.services.execution import job_run, lease, worker_context
from aifeature.services.execution.worker_context import WorkerContext

logger = logging.getLogger(__name__)

ABORT_AGAIN_S: Final = 0.2
"""Seconds between two aborts. The next one also finds a job that was just being claimed."""

EXIT_CODE: Final = 75
"""Exit code of a process that ended itself (EX_TEMPFAIL in sysexits.h)."""


def _exit() -> None:
    """End the process without waiting for its threads."""
    logging.shutdown()
    os._exit(EXIT_CODE)


def _send_sigterm() -> None:
    """Send SIGTERM to this process, as its supervisor does: Celery takes no more messages."""
    os.kill(os.getpid(), signal.SIGTERM)


class Runner:
    """Runs jobs. Thread-safe."""

    def __init__(
        self,
        context: WorkerContext | None = None,
        *,
        end: Callable[[], None] = _exit,
        request_stop: Callable[[], None] = _send_sigterm,
    ) -> None:
        """`end` ends the process, `request_stop` starts its drain."""
        self._context = context or worker_context.current()
        self._keeper = self._context.keeper
        self._end = end
        self._request_stop = request_stop
        self._agent: WorkerAgent | None = None
        self._stopping = threading.Event()
        self._closed = threading.Event()

    def start(self, *, worker: str, slots: int, queue: str = USERS) -> None:
        """Start taking jobs of a queue, up to `slots` at the same time.

        Raises FunctionsAwayError if the functions of the features cannot be run.
        """
        self._context.functions.start(when_away=self._request_stop)
        self._keeper.appear(worker, queue=queue, slots=slots, when_stuck=self._request_stop)
        self._agent = WorkerAgent()
        self._agent.start()

    def run(self, job: UUID, *, worker: str) -> None:
        """Run a job if it can be claimed. Hand back a message that cannot become a run.

        Raises django.db.Error if the database is unavailable.
        """
        if self._stopping.is_set():
            self._hand_back(job)
            return
        try:
            job_run.run_feature(job, worker=worker, context=self._context)
        except DatabaseError as error:
            self._hand_back(job)
            if not is_lock_timeout(error):
                raise
            logger.info("job %s: handed back, its row is locked: %s", job, error)
        finally:
            if self._agent is not None:
                self._agent.job_ended()

    def drain(self, *, grace_s: float, end_s: float) -> None:
        """Take no more jobs, and abort those that still run after `grace_s` seconds. Does not wait.

        If the process has not exited `end_s` seconds later, end it.
        """
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._keeper.offer_none()
        threading.Thread(
            target=self._stop_after, args=(grace_s, end_s), name="grace-period", daemon=True
        ).start()

    def close(self) -> None:
        """Send what is still pending, after the last job has ended."""
        if self._agent is not None:
            self._agent.stop()
        self._context.functions.close()
        self._keeper.leave()
        self._closed.set()

    def _stop_after(self, grace_s: float, end_s: float) -> None:
        end_at = time.monotonic() + grace_s + end_s
        logger.info("stopping: %d jobs have %.0f s to finish", self._keeper.count(), grace_s)
        # Wait for the end of the process: with no job held, one may still be about to be claimed.
        if self._closed.wait(grace_s):
            return
        if count := self._keeper.count():
            logger.warning("stopping: aborting %d jobs, they return to the queue", count)
        while time.monotonic() < end_at:
            self._keeper.abort_all(lease.STOPPING)
            if self._closed.wait(ABORT_AGAIN_S):
                return
        logger.error(
            "stopping: threads did not end, exiting; %d jobs wait until their leases expire",
            self._keeper.count(),
        )
        self._end()

    def _hand_back(self, job: UUID) -> None:
        if self._agent is not None:
            self._agent.hand_back(job)
