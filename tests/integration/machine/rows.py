"""The rows of the model: the columns of each table that have an effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "rejected"})


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job. `text` is its error message, `tokens` its input tokens."""

    id: UUID
    user: int
    feature: str
    key: str | None
    run_at: datetime
    deadline_at: datetime
    published_at: datetime | None
    status: str = "queued"
    epoch: int = 0
    tries: int = 0
    attempts: int = 0
    worker: str = ""
    started_at: datetime | None = None
    lease_until: datetime | None = None
    finished_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    result: str | None = None
    code: str = ""
    text: str = ""
    model: str = ""
    tokens: int = 0
    charge_micro: int = 0
    cancelled_by: str = ""
    expires_at: datetime | None = None
    """When it fails if no person has decided about its answer."""
    partial: str = ""
    """Text that was shown before the user cancelled it."""
    origin: str = "user"
    """`user`, or `eval`: its calls have no user and are paid by the budget of evaluations."""

    @property
    def is_of_user(self) -> bool:
        return self.origin == "user"


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One provider call."""

    id: UUID
    job: UUID
    user_id: int | None
    feature: str
    epoch: int
    number: int
    model: str
    bound_micro: int
    day: date
    state: str = "started"
    tokens: int = 0
    cost_micro: int = 0
    code: str = ""
    ended_at: datetime | None = None
    own_spend: bool = False
    """Whether it counts towards its user's spend cap."""
    budget: str = ""
    """The payer; empty: its feature."""


@dataclass(frozen=True, slots=True)
class WindowRow:
    """The sums of a day or a month. `spent_micro` of a user or an account is the charge."""

    scope: str
    key: str
    day: date
    spent_micro: int
    held_micro: int
    own_spend_micro: int = 0
    """Spend that counts towards the spend cap of a user or an account."""


@dataclass(frozen=True, slots=True)
class ControlRow:
    """The kill switch of a feature, or of everything."""

    feature: str
    killed: bool
    mode: str = "hold"
    """`hold` or `cancel`."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An entry of the unique index over (user, idempotency key)."""

    user: int
    key: str
    job: UUID


@dataclass(frozen=True, slots=True)
class TurnRow:
    """The owner of the last job that the fair queue chose."""

    feature: str
    user: int


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker's presence. Only workers of evaluations have threads."""

    name: str
    seen_at: datetime
    slots: int = 0


Row = JobRow | AttemptRow | WindowRow | ControlRow | KeyRow | TurnRow | WorkerRow
Key = tuple[object, ...]
"""Identifies a row and the lock on it."""

TURN: Key = ("turn",)

World = Mapping[Key, Row]
"""All committed rows."""


def key_of(row: Row) -> Key:  # noqa: PLR0911 (a table)
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
    return ("window", scope, key, day)


TABLES: Final = {
    JobRow: """
        SELECT id, user_id AS "user", feature, idempotency_key AS key, status, epoch, tries,
               attempts, worker, run_at, deadline_at, published_at, started_at, lease_until,
               finished_at, cancel_requested_at, result->>'text' AS result, error_code AS code,
               error_message AS text, model, input_tokens AS tokens, charge_micro, cancelled_by,
               partial_text AS partial, approval_expires_at AS expires_at,
               origin
          FROM public.aifeature_job""",
    AttemptRow: """
        SELECT id, job_id AS job, user_id, feature, epoch, number, state, model, day, ended_at,
               input_tokens AS tokens, cost_micro, bound_micro, error_code AS code, own_spend,
               budget
          FROM public.aifeature_attempt""",
    WindowRow: """
        SELECT scope, key, day, spent_micro, held_micro, own_spend_micro
          FROM public.aifeature_spendwindow""",
    ControlRow: "SELECT feature, killed, kill_mode AS mode FROM public.aifeature_featurecontrol",
    TurnRow: 'SELECT feature, user_id AS "user" FROM public.aifeature_dispatchturn',
    WorkerRow: "SELECT name, seen_at, slots FROM public.aifeature_worker",
}
QUERIES: Final[dict[type[Any], tuple[Any, str]]] = {
    kind: (class_row(kind), query) for kind, query in TABLES.items()
}
