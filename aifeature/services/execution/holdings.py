"""The registry of what a process holds: runs, calls without a job, and pending claims."""

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
    """Thread identifier, a key of `sys._current_frames`."""
    began: float
    """Monotonic time, as is `deadline`."""
    deadline: float
    overdue_looks: int = 0
    """Number of beats at which it was far past its deadline."""


@dataclass(slots=True, eq=False)
class HeldCall:
    """A provider call without a job."""

    owner: Owner
    cancel: Cancel


@dataclass(slots=True)
class Holdings:
    """Held runs, calls and claims. Thread-safe."""

    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _runs: dict[Run, HeldRun] = field(default_factory=dict)
    _calls: set[HeldCall] = field(default_factory=set)
    _claims: Counter[UUID] = field(default_factory=Counter)

    @contextmanager
    def claiming(self, job: UUID) -> Iterator[None]:
        """Register a claim before it is sent: the process may get the job at any moment."""
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
        """Register a claimed job as run by this thread while the block runs."""
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
        """Register a call without a job while the block runs."""
        held = HeldCall((feature, None), cancel)
        with self._lock:
            self._calls.add(held)
        try:
            yield
        finally:
            with self._lock:
                self._calls.discard(held)

    def runs(self) -> list[HeldRun]:
        with self._lock:
            return list(self._runs.values())

    def calls(self) -> list[HeldCall]:
        with self._lock:
            return list(self._calls)

    def strays(self, found: list[Run]) -> list[Run]:
        """Return the runs that the database assigns to this process but no thread holds.

        Read `found` from the database before calling this. Claims are registered before they are
        sent, so later claims are not reported as strays.
        """
        with self._lock:
            return [run for run in found if run not in self._runs and not self._claims[run[0]]]

    def __bool__(self) -> bool:
        with self._lock:
            return bool(self._runs or self._calls)
