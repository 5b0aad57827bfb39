"""What the model knows of each table: the columns that decide something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "rejected"})


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job. `text` is its error message, `tokens` its input tokens."""

    id: UUID
    user: int
    feature: str
    key: str | None
    status: str
    epoch: int
    tries: int
    attempts: int
    worker: str
    run_at: datetime
    deadline_at: datetime
    published_at: datetime | None
    started_at: datetime | None
    lease_until: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    result: str | None
    code: str
    text: str
    model: str
    tokens: int
    charge: int
    cancelled_by: str = ""
    partial: str = ""
    """Text that the user had been shown when they cancelled it."""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One provider call. Amounts are micro-dollars."""

    id: UUID
    job: UUID
    user: int
    feature: str
    epoch: int
    number: int
    state: str
    model: str
    tokens: int
    cost: int
    bound: int
    code: str
    day: date
    ended_at: datetime | None
    own: bool = False
    """Whether it counts towards its user's spend cap."""


@dataclass(frozen=True, slots=True)
class WindowRow:
    """Spend of one day, in micro-dollars; of a user or an account `spent` is the charge."""

    scope: str
    key: str
    day: date
    spent: int
    held: int
    own: int = 0
    """Spend that counts towards the spend cap of a user or an account."""


@dataclass(frozen=True, slots=True)
class ControlRow:
    """The kill switch of one feature, or of everything."""

    feature: str
    killed: bool
    mode: str = "hold"
    """What it does with jobs: `hold` or `cancel`."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An entry of the unique index over (user, idempotency key)."""

    user: int
    key: str
    job: UUID


@dataclass(frozen=True, slots=True)
class TurnRow:
    """Whose turn the dispatcher gave last."""

    feature: str
    user: int


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker's last sign of life."""

    name: str
    seen_at: datetime


Row = JobRow | AttemptRow | WindowRow | ControlRow | KeyRow | TurnRow | WorkerRow
Key = tuple[object, ...]
"""Names a row, and the lock on it."""

TURN: Key = ("turn",)

World = Mapping[Key, Row]
"""Everything that is committed."""


def key_of(row: Row) -> Key:  # noqa: PLR0911 (a table)
    """The name of a row."""
    match row:
        case JobRow():
            return ("job", row.id)
        case AttemptRow():
            return ("attempt", row.id)
        case WindowRow():
            return window_key(row.scope, row.key, row.day)
        case ControlRow():
            return ("control", row.feature)
        case KeyRow():
            return ("key", row.user, row.key)
        case TurnRow():
            return TURN
        case WorkerRow():
            return ("worker", row.name)


def window_key(scope: str, key: str, day: date) -> Key:
    """The name of a spend window, whether it exists or not."""
    return ("window", scope, key, day)
