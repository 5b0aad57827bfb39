"""Keeps what this process runs: stops it when it must, and shows the database that it goes on.

One thread per process, on a database connection of its own that it shares with nobody: whatever
the others wait for, it does not. Each beat is a few short statements that wait for no lock longer
than a tenth of a second, and none of them keeps the next from being made:

1. The switches are read from their own table, for the jobs and for the calls of no job.
2. The flags of the jobs are read: is each still ours, was it cancelled?
3. A worker process writes its sign of life. While it does, nobody takes over what it runs.
4. Leases that have used up a third of their time are extended; locked rows wait for a later beat.
5. Runs under this worker's name that none of its threads holds are given back.
6. Threads that hang are noticed (`aifeature.services.execution.stuck_runs`).
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

from django.conf import settings
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
"""Seconds between two looks: a pulled switch ends every call within a second, of which the abort
itself takes up to a fifth. It needs no message from Redis, so it works without."""

PRESENCE_S: Final = 1.0
"""Seconds between two signs of life; a worker counts as gone after a lease without one."""

GIVEN_BACK_S: Final = 1.0
"""Seconds until a run that was given back is due: one that ends its thread at once must not run
hundreds of times."""

LEAVE_S: Final = 5.0
"""Most seconds that a process which ends waits for its last sign of life."""

USER: Final = "user"
PAUSED: Final = "paused"
FENCED: Final = "fenced"
STOPPING: Final = "stopping"
"""Reasons given to `Cancel.cancel`: by the user, by the kill switch, because it is not ours,
because the process ends."""


@dataclass(slots=True)
class _Sign:
    """What a worker process says of itself."""

    worker: str
    queue: str
    slots: int
    threads: int
    """As many as it has, also while it offers none."""
    when_stuck: Callable[[], None] | None
    written_at: float = float("-inf")
    written_slots: int | None = None
    leaves: bool = False
    left: threading.Event = field(default_factory=threading.Event)


class LeaseKeeper:
    """The keeper of one process; safe for any number of threads."""

    def __init__(self, lease_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease_s = lease_s
        self._clock = clock
        self._holdings = Holdings(clock)
        self._watch = stuck_runs.Watch(lease_s, clock)
        self._session = DedicatedConnection(lock_timeout="100ms", statement_timeout="1s")
        self._signs: dict[str, _Sign] = {}
        self._failing: set[str] = set()
        self._is_away = False
        """Found in this beat."""
        self._loop = Loop("keeper", self._turn, least_s=BEAT_S)

    @contextmanager
    def claiming(self, job: UUID) -> Iterator[None]:
        """Around a claim and the run that comes of it: begun before the claim is sent.

        What a claim takes before its thread holds it would look like a run that nobody has.
        """
        with self._holdings.claiming(job):
            yield

    @contextmanager
    def hold(self, claimed: Claimed, cancel: Cancel) -> Iterator[None]:
        """Keep this job's lease while the block runs; `cancel` is used when it must stop."""
        with self._holdings.run(claimed, cancel):
            self._loop.wake()
            yield

    @contextmanager
    def hold_call(self, feature: str, cancel: Cancel) -> Iterator[None]:
        """A call of no job is under way while the block runs; a switch stops it."""
        with self._holdings.call(feature, cancel):
            self._loop.wake()
            yield

    def appear(
        self, worker: str, *, queue: str, slots: int, when_stuck: Callable[[], None] | None = None
    ) -> None:
        """Begin to show that this worker lives, under a name that no other process has had.

        Args:
            worker: Its name; runs that stand under it and are not held are given back.
            queue: What it serves.
            slots: How many of them at once.
            when_stuck: Called once when a tenth of its threads hang; it ends the process.
        """
        self._signs[queue] = _Sign(worker, queue, slots, slots, when_stuck)
        self._loop.wake()

    def offer_none(self) -> None:
        """This process takes no more work; it still lives."""
        for sign in list(self._signs.values()):
            sign.slots = 0

    def leave(self) -> None:
        """Give a last sign of life, which offers nothing, and wait a moment until it is given."""
        signs = list(self._signs.values())
        for sign in signs:
            sign.slots, sign.leaves = 0, True
        for sign in signs:
            sign.left.wait(LEAVE_S)

    def count(self) -> int:
        """How many jobs are held."""
        return len(self._holdings.runs())

    def abort_all(self, reason: str) -> None:
        """Abort every call of a job that is in flight."""
        for held in self._holdings.runs():
            held.cancel.cancel(reason)

    def beat(self) -> None:
        """Do all there is to do, once. A step that fails is made again at the next beat."""
        self._is_away = False
        runs = self._holdings.runs()
        self._attempt("the switches were not read", self._stop_what_is_paused)
        answered = self._attempt("the flags of jobs were not read", lambda: self._heed_flags(runs))
        self._attempt("no sign of life was given", self._show_signs)
        if not answered:
            return  # whatever keeps a plain read of jobs waiting keeps all else waiting too
        self._attempt("leases were not extended", lambda: self._extend(runs))
        self._attempt("runs were not given back", self._give_back)
        self._attempt(
            "no alert was written about threads that hang", lambda: self._watch_over(runs)
        )

    def _stop_what_is_paused(self) -> None:
        held: list[HeldRun | HeldCall] = [*self._holdings.runs(), *self._holdings.calls()]
        if held:
            paused = heartbeats.paused(self._session.rows, {each.owner for each in held})
            for each in held:
                if each.owner in paused:
                    each.cancel.cancel(PAUSED)

    def _heed_flags(self, runs: list[HeldRun]) -> None:
        if runs:
            found = heartbeats.running(self._session.rows, [held.run for held in runs])
            for held in runs:
                if held.run not in found:
                    held.cancel.cancel(FENCED)
                elif found[held.run]:
                    held.cancel.cancel(USER)

    def _show_signs(self) -> None:
        for sign in list(self._signs.values()):
            # Either may change while the database is told.
            leaves, slots, now = sign.leaves, sign.slots, self._clock()
            if leaves or slots != sign.written_slots or now - sign.written_at >= PRESENCE_S:
                heartbeats.alive(self._session.rows, sign.worker, queue=sign.queue, slots=slots)
                sign.written_slots, sign.written_at = slots, now
            if leaves:
                del self._signs[sign.queue]
                sign.left.set()

    def _extend(self, runs: list[HeldRun]) -> None:
        if runs:
            heartbeats.extend(
                self._session.rows, [held.run for held in runs], lease_s=self._lease_s
            )

    def _give_back(self) -> None:
        for worker in {sign.worker for sign in list(self._signs.values())}:
            strays = self._holdings.strays(heartbeats.runs_of(self._session.rows, worker))
            random.shuffle(strays)  # one that a lock keeps does not keep the others each time
            message = WAITING[WaitReason.INTERRUPTED]
            for run in strays:
                ask = self._session.rows
                if heartbeats.give_back(ask, run, delay_s=GIVEN_BACK_S, message=message):
                    logger.warning("job %s: no thread had epoch %d any more; given back", *run)

    def _watch_over(self, runs: list[HeldRun]) -> None:
        hanging = self._watch.look(runs)
        for sign in list(self._signs.values()):
            if hanging and sign.when_stuck is not None:
                if len(hanging) >= stuck_runs.tenth(sign.threads) and sign.slots:
                    sign.slots = 0
                    logger.error("%d threads hang: this process stops", len(hanging))
                    sign.when_stuck()
                self._watch.tell(
                    self._session.rows, hanging, worker=sign.worker, slots=sign.threads
                )

    def _attempt(self, failure: str, step: Callable[[], None]) -> bool:
        """Make one step; an outage is logged when it begins and when it is over."""
        if self._is_away:  # each step would wait for a connection again
            return False
        try:
            step()
        except DatabaseError as error:  # also a lock that somebody holds
            if failure not in self._failing:
                logger.warning("keeper: %s, trying again: %s", failure, error)
                self._failing.add(failure)
            self._is_away = not self._session.is_open
            return False
        except Exception:  # a defect here must not cost every job its lease
            logger.exception("keeper: %s", failure)
            return False
        if failure in self._failing:
            self._failing.discard(failure)
            logger.info("keeper: it is over that %s", failure)
        return True

    def _turn(self) -> float | None:
        if not self._holdings and not self._signs:
            self._session.close()
            return None
        self.beat()
        return 0.0


keeper: Final = LeaseKeeper(settings.AIFEATURE["LEASE_S"])
