"""The keeper: extends the leases of this process's runs, and aborts calls that must stop.

One thread per process, with its own database connection, so it never waits for other threads. Each
beat runs a few short statements. No statement waits more than a tenth of a second for a lock, and a
failed step does not prevent the next one:

1. Read the kill switches, for jobs and for calls without a job.
2. Read the flags of the jobs: is each still ours, was it cancelled?
3. Write the heartbeat of a worker process. While it is fresh, no other worker takes over its runs.
4. Extend leases of which a third has passed. Locked rows wait for a later beat.
5. Return runs to the queue that are assigned to this worker but held by none of its threads.
6. Report stuck threads (`aifeature.services.execution.stuck_runs`).
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.db import Error as DatabaseError

from aifeature.models import heartbeats
from aifeature.models.dedicated_connection import DedicatedConnection
from aifeature.models.transitions import Claimed
from aifeature.reasons import WaitReason
from aifeature.services.background import Loop
from aifeature.services.execution import stuck_runs
from aifeature.services.execution.holdings import HeldCall, HeldRun, Holdings
from aifeature.services.texts import WAITING
from workers.inference import Cancel

logger = logging.getLogger(__name__)

BEAT_S: Final = 0.25
"""Seconds between two beats. A kill switch must end every call within a second, and the abort takes
up to a fifth of that. The switches are read from PostgreSQL, so this works without Redis."""

PRESENCE_S: Final = 1.0
"""Seconds between two heartbeats. A worker counts as lost after a lease without one."""

GIVEN_BACK_S: Final = 1.0
"""Seconds until a returned run is due. Without it, a job that kills its thread immediately would
run hundreds of times."""

LEAVE_S: Final = 5.0
"""Most seconds that an exiting process waits for its last heartbeat."""

USER: Final = "user"
PAUSED: Final = "paused"
FENCED: Final = "fenced"
STOPPING: Final = "stopping"
"""Reasons passed to `Cancel.cancel`: cancelled by the user, stopped by a kill switch, the job is no
longer ours, the process stops."""


@dataclass(slots=True)
class _Presence:
    """The presence of a worker process, as it is written to the database."""

    worker: str
    queue: str
    slots: int
    threads: int
    """Its total threads, also while it offers no slots."""
    when_stuck: Callable[[], None] | None
    written_at: float = float("-inf")
    written_slots: int | None = None
    leaves: bool = False
    left: threading.Event = field(default_factory=threading.Event)


class LeaseKeeper:
    """The keeper of one process. Thread-safe."""

    def __init__(self, lease_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease_s = lease_s
        self._clock = clock
        self._holdings = Holdings(clock)
        self._watch = stuck_runs.Watch(lease_s, clock)
        self._session = DedicatedConnection(lock_timeout="100ms", statement_timeout="1s")
        self._presences: dict[str, _Presence] = {}
        self._failing: set[str] = set()
        self._is_unavailable = False
        """Whether the database connection failed in this beat."""
        self._loop = Loop("keeper", self._turn, least_s=BEAT_S)

    @contextmanager
    def claiming(self, job: UUID) -> Iterator[None]:
        """Register a claim before it is sent, until its run has ended.

        Otherwise the claimed job could look like a stray before its thread holds it.
        """
        with self._holdings.claiming(job):
            yield

    @contextmanager
    def hold(self, claimed: Claimed, cancel: Cancel) -> Iterator[None]:
        """Extend this job's lease while the block runs. Use `cancel` when the run must stop."""
        with self._holdings.run(claimed, cancel):
            self._loop.wake()
            yield

    @contextmanager
    def hold_call(self, feature: str, cancel: Cancel) -> Iterator[None]:
        """Let a kill switch abort a call without a job while the block runs."""
        with self._holdings.call(feature, cancel):
            self._loop.wake()
            yield

    def appear(
        self, worker: str, *, queue: str, slots: int, when_stuck: Callable[[], None] | None = None
    ) -> None:
        """Start the heartbeats of this worker. No earlier process may have used its name.

        Runs under its name that no thread holds are returned to the queue. `when_stuck` is called
        once when a tenth of its threads are stuck, to end the process.
        """
        self._presences[queue] = _Presence(worker, queue, slots, slots, when_stuck)
        self._loop.wake()

    def offer_none(self) -> None:
        """Take no more jobs. Heartbeats continue."""
        for presence in list(self._presences.values()):
            presence.slots = 0

    def leave(self) -> None:
        """Send a last heartbeat without slots, and wait up to LEAVE_S seconds for it."""
        presences = list(self._presences.values())
        for presence in presences:
            presence.slots, presence.leaves = 0, True
        for presence in presences:
            presence.left.wait(LEAVE_S)

    def count(self) -> int:
        return len(self._holdings.runs())

    def abort_all(self, reason: str) -> None:
        for held in self._holdings.runs():
            held.cancel.cancel(reason)

    def beat(self) -> None:
        """Run all steps once. A failed step is retried at the next beat."""
        self._is_unavailable = False
        runs = self._holdings.runs()
        self._run_step("read the kill switches", self._cancel_paused)
        answered = self._run_step("read the flags of jobs", lambda: self._check_flags(runs))
        self._run_step("write heartbeats", self._write_heartbeats)
        if not answered:
            return  # what blocks a plain read of jobs also blocks the steps below
        self._run_step("extend leases", lambda: self._extend(runs))
        self._run_step("return stray runs to the queue", self._give_back)
        self._run_step("report stuck threads", lambda: self._report_stuck(runs))

    def _cancel_paused(self) -> None:
        held: list[HeldRun | HeldCall] = [*self._holdings.runs(), *self._holdings.calls()]
        if held:
            paused = heartbeats.paused(self._session.rows, {each.owner for each in held})
            for each in held:
                if each.owner in paused:
                    each.cancel.cancel(PAUSED)

    def _check_flags(self, runs: list[HeldRun]) -> None:
        if runs:
            running = heartbeats.running(self._session.rows, [held.run for held in runs])
            for held in runs:
                if held.run not in running:
                    held.cancel.cancel(FENCED)
                elif running[held.run]:
                    held.cancel.cancel(USER)

    def _write_heartbeats(self) -> None:
        rows = self._session.rows
        for presence in list(self._presences.values()):
            # Other threads may change both while the statement runs.
            leaves, slots, now = presence.leaves, presence.slots, self._clock()
            if leaves or slots != presence.written_slots or now - presence.written_at >= PRESENCE_S:
                heartbeats.alive(rows, presence.worker, queue=presence.queue, slots=slots)
                presence.written_slots, presence.written_at = slots, now
            if leaves:
                del self._presences[presence.queue]
                presence.left.set()

    def _extend(self, runs: list[HeldRun]) -> None:
        if runs:
            heartbeats.extend(
                self._session.rows, [held.run for held in runs], lease_s=self._lease_s
            )

    def _give_back(self) -> None:
        for worker in {presence.worker for presence in list(self._presences.values())}:
            rows = self._session.rows
            strays = self._holdings.strays(heartbeats.runs_of(rows, worker))
            random.shuffle(strays)  # so that a locked one does not block the others every time
            message = WAITING[WaitReason.INTERRUPTED]
            for run in strays:
                if heartbeats.give_back(rows, run, delay_s=GIVEN_BACK_S, message=message):
                    logger.warning("job %s: no thread holds epoch %d; returned to the queue", *run)

    def _report_stuck(self, runs: list[HeldRun]) -> None:
        stuck = self._watch.stuck(runs)
        for presence in list(self._presences.values()):
            if stuck and presence.when_stuck is not None:
                if len(stuck) >= stuck_runs.tenth(presence.threads) and presence.slots:
                    presence.slots = 0
                    logger.error("%d threads are stuck: this process stops", len(stuck))
                    presence.when_stuck()
                self._watch.report(
                    self._session.rows, stuck, worker=presence.worker, slots=presence.threads
                )

    def _run_step(self, action: str, step: Callable[[], None]) -> bool:
        """Run one step. Log the first of several failures, and the recovery."""
        if self._is_unavailable:  # each step would wait for a connection again
            return False
        try:
            step()
        except DatabaseError as error:  # includes lock timeouts
            if action not in self._failing:
                logger.warning("keeper: cannot %s, trying again: %s", action, error)
                self._failing.add(action)
            self._is_unavailable = not self._session.is_open
            return False
        except Exception:  # a defect here must not cost all jobs their leases
            logger.exception("keeper: cannot %s", action)
            return False
        if action in self._failing:
            self._failing.discard(action)
            logger.info("keeper: can %s again", action)
        return True

    def _turn(self) -> float | None:
        if not self._holdings and not self._presences:
            self._session.close()
            return None
        self.beat()
        return 0.0
