"""What one call sees and does while its transaction is open."""

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
"""How old the sign of life of a worker may be that takes a run over (`aif_may_take_over`)."""


class Refused(Exception):  # noqa: N818 (a verdict, not a defect)
    """A savepoint is rolled back with this verdict."""


class View:
    """A transaction at READ COMMITTED: `world` is what is committed when the call gets through,
    `before` what was when it was sent. A call that had to wait decides whether it takes part by
    `before`, and by `world` what it then finds.
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
        """The time the call was sent: a call that waits keeps it."""
        self.written: dict[Key, Row] = {}
        self.held: set[Key] = set()
        """Locks kept until the transaction ends."""
        self.wanted: set[Key] = set()
        """Locks taken at any moment: what it may have to wait for."""
        self.locked, self.locked_before = locked, locked_before
        """What other transactions hold, now and when the call was sent."""
        self.answer = answer
        """What the database said, to follow it where it may choose; empty while nobody knows."""
        self.maybe: set[Key] = set()
        """Rows it waits for only if another transaction has changed them."""
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
        """As of when the call was sent, with what it wrote itself."""
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
        """By the snapshot of the statement, which a wait for a lock does not renew."""
        return bool(_killed(self._before, feature))

    def is_cancelled(self, feature: str) -> bool:
        """Whether a switch ends its jobs, by the snapshot of the statement."""
        return any(row.mode == "cancel" for row in _killed(self._before, feature))

    def is_killed_now(self, feature: str) -> bool:
        """By a statement of its own, after the locks."""
        return bool(_killed(self._world, feature))

    def lives(self, worker: str, stale: timedelta) -> bool:
        """Whether a worker gave a sign of life lately, by the snapshot of the statement."""
        row = self._before.get(("worker", worker))
        return isinstance(row, WorkerRow) and row.seen_at > self.now - stale

    def may_take_over(self, worker: str) -> bool:
        """Whether a worker's own signs of life are fresh, or it has given none yet."""
        row = self._before.get(("worker", worker))
        return not isinstance(row, WorkerRow) or row.seen_at >= self.now - FRESH

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what was written and locked inside if it ends in `Refused`."""
        written, held = dict(self.written), set(self.held)
        try:
            yield
        except Refused:
            self.written, self.held = written, held
            raise


def _killed(world: World, feature: str) -> list[ControlRow]:
    rows = (world.get(("control", name)) for name in (feature, GLOBAL))
    return [row for row in rows if isinstance(row, ControlRow) and row.killed]
