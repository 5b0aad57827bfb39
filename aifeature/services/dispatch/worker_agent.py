"""The thread of a worker process that takes part in dispatch.

It refills the window soon after a job has ended here, hands back messages that cannot become runs,
and runs the watcher when the control worker does not.
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
"""Seconds between two turns while no job ends here."""

COALESCE_S: Final = 0.05
"""Least seconds between two turns, so that one statement serves jobs that end together."""

RETRY_S: Final = 1.0
"""Seconds until a failed hand-back is tried again."""


class WorkerAgent:
    """The agent of one process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handed_back: set[UUID] = set()
        self._loop = Loop(
            "agent", self._turn_and_watch, retry_s=RETRY_S, least_s=COALESCE_S, has_last_turn=True
        )
        self._watcher = watch.Watcher(after_s=watch.STAND_IN_S)

    def start(self) -> None:
        self._loop.wake()

    def job_ended(self) -> None:
        """Refill the window soon: there is room for another job."""
        self._loop.wake()

    def hand_back(self, job: UUID) -> None:
        """Return a job to the queue whose message was received here but cannot become a run."""
        with self._lock:
            self._handed_back.add(job)
        self._loop.wake()

    def stop(self) -> None:
        self._loop.stop(within_s=MOST_SLEEP_S)

    def turn(self) -> None:
        """Hand back messages, then refill the window. After an error the next turn tries again."""
        with self._lock:
            jobs = set(self._handed_back)
        if jobs:
            locked = publisher.unpublish(list(jobs))
            with self._lock:
                self._handed_back -= jobs - locked
        publisher.refill()

    def _turn_and_watch(self) -> float:
        try:
            self.turn()
        finally:
            if not self._loop.is_stopped:
                self._watcher.check()
        return RETRY_S if self._handed_back else MOST_SLEEP_S
