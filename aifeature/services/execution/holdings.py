"""What a process runs just now: its jobs, its calls of no job, and the claims it has sent."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from aifeature.models.heartbeats import Owner, Run
from aifeature.models.transitions import Claimed
from workers.inference import Cancel


@dataclass(slots=True, eq=False)
class HeldRun:
    """A job that a thread of this process runs."""

    run: Run
    owner: Owner
    cancel: Cancel
    thread: int
    """Its identifier, as in `sys._current_frames`."""
    began: float
    """By the clock of the process, as is the next."""
    deadline: float
    overdue_looks: int = 0
    """How often it was seen to run long past its deadline."""


@dataclass(slots=True, eq=False)
class HeldCall:
    """A provider call that belongs to no job."""

    owner: Owner
    cancel: Cancel


@dataclass(slots=True)
class Holdings:
    """Safe for any number of threads."""

    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _runs: dict[Run, HeldRun] = field(default_factory=dict)
    _calls: set[HeldCall] = field(default_factory=set)
    _claims: Counter[UUID] = field(default_factory=Counter)

    @contextmanager
    def claiming(self, job: UUID) -> Iterator[None]:
        """This process may have the job from any moment of the block on: say so before it asks."""
        with self._lock:
            self._claims[job] += 1
        try:
            yield
        finally:
            with self._lock:
                self._claims[job] -= 1
                if not self._claims[job]:
                    del self._claims[job]

    @contextmanager
    def run(self, claimed: Claimed, cancel: Cancel) -> Iterator[None]:
        """This thread runs a claimed job while the block runs."""
        now = self.clock()
        run = (claimed.job, claimed.epoch)
        held = HeldRun(
            run=run,
            owner=(claimed.feature, claimed.user_id),
            cancel=cancel,
            thread=threading.get_ident(),
            began=now,
            deadline=now + claimed.seconds_left,
        )
        with self._lock:
            self._runs[run] = held
        try:
            yield
        finally:
            with self._lock:
                del self._runs[run]

    @contextmanager
    def call(self, feature: str, cancel: Cancel) -> Iterator[None]:
        """A call of no job is under way while the block runs."""
        held = HeldCall((feature, None), cancel)
        with self._lock:
            self._calls.add(held)
        try:
            yield
        finally:
            with self._lock:
                self._calls.discard(held)

    def runs(self) -> list[HeldRun]:
        """The jobs that run now."""
        with self._lock:
            return list(self._runs.values())

    def calls(self) -> list[HeldCall]:
        """The calls of no job that are under way now."""
        with self._lock:
            return list(self._calls)

    def strays(self, found: list[Run]) -> list[Run]:
        """Return the runs under this process's name in the database that no thread here holds.

        `found` must have been read before: a claim is registered before it is sent, so what it took
        since then is known here.
        """
        with self._lock:
            return [run for run in found if run not in self._runs and not self._claims[run[0]]]

    def __bool__(self) -> bool:
        with self._lock:
            return bool(self._runs or self._calls)
