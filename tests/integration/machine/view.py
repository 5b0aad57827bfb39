"""The reads and writes of one call while its transaction is open."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from tests.integration.machine.rows import (
    TURN,
    AttemptRow,
    ControlRow,
    JobRow,
    Key,
    KeyRow,
    Row,
    TurnRow,
    WindowRow,
    WorkerRow,
    World,
    key_of,
    window_key,
)

GLOBAL: Final = "_everything"
FRESH: Final = timedelta(seconds=3)
"""Maximum age of the presence of a worker that takes over a run (`aif_may_take_over`)."""

SEEN: Final = timedelta(seconds=20)
"""Maximum age of the presence of a worker whose threads count."""


class Refused(Exception):  # noqa: N818 (a verdict, not a defect)
    """The verdict with which a savepoint is rolled back."""


class View:
    """A transaction at READ COMMITTED.

    `before` has the rows that were committed when the call was sent, `world` those after its wait.
    A statement selects its rows by `before`, waits for their locks, and checks them by `world`.
    """

    def __init__(
        self,
        *,
        now: datetime,
        world: World,
        before: World,
        locked: Collection[Key] = (),
        locked_before: Collection[Key] = (),
        answer: Sequence[object] = (),
    ) -> None:
        self.now = now
        """The time at which the call was sent. A wait does not change it."""
        self.written: dict[Key, Row] = {}
        self.held: set[Key] = set()
        """Locks that it keeps until its end."""
        self.wanted: set[Key] = set()
        """All locks that it takes, and may have to wait for."""
        self.locked, self.locked_before = locked, locked_before
        """Locks of other transactions, now and when the call was sent."""
        self.answer = answer
        """The answer of the database, where it may choose. Empty before the answer."""
        self.maybe: set[Key] = set()
        """Rows for which it waits only if another transaction has changed them."""
        self._world = world
        self._before = before

    def lock(self, key: Key) -> None:
        self.held.add(key)
        self.wanted.add(key)

    def write(self, row: Row) -> None:
        self.lock(key_of(row))
        self.written[key_of(row)] = row

    def change(self, row: Any, **values: Any) -> Any:
        changed = replace(row, **values)
        self.write(changed)
        return changed

    def key(self, like: KeyRow) -> KeyRow | None:
        row = self._world.get(key_of(like))
        return row if isinstance(row, KeyRow) else None

    def job(self, job: UUID) -> JobRow | None:
        row = self.written.get(("job", job)) or self._world.get(("job", job))
        return row if isinstance(row, JobRow) else None

    def job_before(self, job: UUID) -> JobRow | None:
        row = self._before.get(("job", job))
        return row if isinstance(row, JobRow) else None

    def jobs(self) -> list[JobRow]:
        rows = {**self._world, **self.written}.values()
        return [row for row in rows if isinstance(row, JobRow)]

    def jobs_before(self) -> list[JobRow]:
        """The rows when the call was sent, with its own writes."""
        rows = {**self._before, **self.written}.values()
        return [row for row in rows if isinstance(row, JobRow)]

    def turn(self) -> TurnRow:
        row = self._world.get(TURN)
        return row if isinstance(row, TurnRow) else TurnRow("", 0)

    def attempt(self, attempt: UUID) -> AttemptRow | None:
        row = self.written.get(("attempt", attempt)) or self._world.get(("attempt", attempt))
        return row if isinstance(row, AttemptRow) else None

    def attempt_before(self, attempt: UUID) -> AttemptRow | None:
        row = self._before.get(("attempt", attempt))
        return row if isinstance(row, AttemptRow) else None

    def attempts(self) -> list[AttemptRow]:
        rows = {**self._world, **self.written}.values()
        return [row for row in rows if isinstance(row, AttemptRow)]

    def open_attempts(self, job: UUID) -> list[AttemptRow]:
        return [row for row in self.attempts() if row.job == job and row.state == "started"]

    def window(self, scope: str, key: str, day: date) -> WindowRow:
        name = window_key(scope, key, day)
        row = self.written.get(name) or self._world.get(name)
        return row if isinstance(row, WindowRow) else WindowRow(scope, key, day, 0, 0)

    def is_killed(self, feature: str) -> bool:
        """By the snapshot of the statement. A wait for a lock does not renew it."""
        return bool(_killed(self._before, feature))

    def is_cancelled(self, feature: str) -> bool:
        """Return whether a switch cancels its jobs, by the snapshot of the statement."""
        return any(row.mode == "cancel" for row in _killed(self._before, feature))

    def is_killed_now(self, feature: str) -> bool:
        """By a later statement, after the locks."""
        return bool(_killed(self._world, feature))

    def lives(self, worker: str, stale: timedelta) -> bool:
        """Return whether a worker's presence is fresh, by the snapshot of the statement."""
        row = self._before.get(("worker", worker))
        return isinstance(row, WorkerRow) and row.seen_at > self.now - stale

    def threads_of_evals(self) -> int:
        """Return the threads of live workers of evaluations, by the snapshot of the statement."""
        workers = [row for row in self._before.values() if isinstance(row, WorkerRow)]
        return sum(row.slots for row in workers if row.seen_at > self.now - SEEN)

    def may_take_over(self, worker: str) -> bool:
        """Return whether a worker's presence is fresh enough to take over, or not written yet."""
        row = self._before.get(("worker", worker))
        return not isinstance(row, WorkerRow) or row.seen_at >= self.now - FRESH

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the writes and locks inside if it ends with `Refused`."""
        written, held = dict(self.written), set(self.held)
        try:
            yield
        except Refused:
            self.written, self.held = written, held
            raise


def _killed(world: World, feature: str) -> list[ControlRow]:
    rows = (world.get(("control", name)) for name in (feature, GLOBAL))
    return [row for row in rows if isinstance(row, ControlRow) and row.killed]
