"""The evidence of a run: all rows and records that the checks read."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.rows import class_row, scalar_row, tuple_row

from tests import books
from tests.bench.flood import Flooded
from tests.chaos.flips import Flip
from tests.chaos.injector import Done
from tests.chaos.request_log import Entry

TERMINAL: Final = frozenset({"succeeded", "failed", "cancelled", "rejected"})


@dataclass(frozen=True, slots=True)
class Job:
    """A job's row. Times in seconds since the epoch, money in micro-dollars."""

    id: str
    user_id: int
    key: str | None
    status: str
    result: dict[str, Any] | None
    error_code: str
    error_message: str
    epoch: int
    tries: int
    attempts: int
    charge_micro: int
    input_tokens: int
    output_tokens: int
    worker: str
    created_at: float
    finished_at: float | None
    cancelled_by: str = ""
    partial_text: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A ledger row."""

    id: str
    job: str
    user_id: int
    feature: str
    epoch: int
    number: int
    purpose: str
    model: str
    state: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_micro: int
    bound_micro: int
    day: str
    error_code: str
    error_detail: str
    started_at: float
    ended_at: float | None
    own_spend: bool = False
    budget: str = ""

    @property
    def spend_micro(self) -> int:
        """The spend that the ledger counts. An open call counts its bound."""
        return self.bound_micro if self.state == "started" else books.counted(self)


@dataclass(frozen=True, slots=True)
class Window:
    """A spend window with its peak and its cap."""

    scope: str
    key: str
    day: str
    spent_micro: int
    held_micro: int
    peak_micro: int
    cap_micro: int | None
    """At the end of the run."""

    over_micro: int
    """The maximum of spent and held together minus the cap of that time."""

    own_spend_micro: int = 0
    own_over_micro: int | None = None
    """The same for a user's own spend and held together; None: it has no cap."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a job or an attempt, as the trigger of `instruments` recorded it."""

    seq: int
    at: float
    tx: int
    """The transaction."""

    thing: str
    """`job` or `attempt`."""

    id: str
    job: str
    old_epoch: int | None
    """None: the row was inserted."""

    epoch: int
    old_state: str | None
    state: str
    old_worker: str | None
    worker: str | None
    changed: list[str]
    """Names of the columns that differ."""


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap was set. By scope: feature, global or month."""

    scope: str
    at: float
    micro: int


@dataclass(frozen=True, slots=True)
class Drift:
    """A window that the reconciler finds to differ from the ledger."""

    scope: str
    key: str
    day: str
    spent_micro: int
    held_micro: int
    own_spend_micro: int = 0


@dataclass(frozen=True, slots=True)
class Alert:
    """A problem of which on-call was notified."""

    kind: str
    subject: str
    summary: str


@dataclass(frozen=True, slots=True)
class Trip:
    """A change of a control by a check."""

    slug: str
    field: str
    new: str
    check: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Opened:
    """A circuit breaker opened, from a worker's log."""

    at: float
    model: str
    line: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call in the provider's record."""

    request_id: str
    attempt_id: str | None
    started_at: float
    ended_at: float | None
    status: int | None
    outcome: str
    fault: str | None
    usage: dict[str, Any] | None
    """Of the answer."""

    model: str | None = None
    billed: dict[str, Any] | None = None
    """The usage on the bill; None: nothing is billed."""


@dataclass
class Evidence:
    """A run."""

    jobs: Sequence[Job]
    attempts: Sequence[Attempt]
    windows: Sequence[Window]
    changes: Sequence[Change]
    calls: Sequence[Call]
    requests: Sequence[Entry]
    faults: Sequence[Done]
    deaths: Sequence[Mapping[str, Any]] = field(default_factory=list)
    caps: Sequence[Cap] = ()
    drifts: Sequence[Drift] = ()
    alerts: Sequence[Alert] = ()
    waits: Mapping[str, int] = field(default_factory=dict)
    """The number of returns to the queue, by the code of the reason."""

    breakers: Sequence[Opened] = ()
    low_rates: Mapping[int, int] = field(default_factory=dict)
    """Requests a minute of each user with a low rate."""

    trips: Sequence[Trip] = ()
    throttled: Sequence[int] = ()
    """Ids of the users that a check has throttled."""

    attacker: int = 0
    """Id of the malicious user; 0: none."""

    flooded: Flooded | None = None
    """The waits of other users in a flood; None: no flood."""

    planned: int = 0
    """The number of faults in the schedule."""

    wanted: int = 0
    """The number of jobs that the users submit."""

    @property
    def flips(self) -> list[tuple[Done, Flip]]:
        """The flips of the kill switch."""
        return [(fault, fault.flip) for fault in self.faults if fault.flip is not None]

    def faults_during(
        self, kinds: AbstractSet[str], since: float, until: float, after_s: float = 0.0
    ) -> list[Done]:
        """Return the faults of these kinds that were on, or had effects up to `after_s` later."""
        return [
            fault
            for fault in self.faults
            if fault.kind in kinds
            and fault.begun <= until
            and since <= (fault.ended or float("inf")) + after_s
        ]

    @cached_property
    def job_by_id(self) -> Mapping[str, Job]:
        return {job.id: job for job in self.jobs}

    @cached_property
    def attempts_of(self) -> Mapping[str, list[Attempt]]:
        return _grouped(self.attempts, "job")

    @cached_property
    def changes_of(self) -> Mapping[str, list[Change]]:
        """By job id, without probes."""
        return _grouped([change for change in self.changes if change.job], "job")

    @cached_property
    def calls_of(self) -> Mapping[str, list[Call]]:
        """By attempt id."""
        return _grouped(self.calls, "attempt_id")

    @cached_property
    def requests_of(self) -> Mapping[str, list[Entry]]:
        """By job id, or by key for a request that has no job id yet."""
        jobs = {(entry.user, entry.key): entry.job for entry in self.requests if entry.job}
        found = defaultdict(list)
        for entry in self.requests:
            found[entry.job or jobs.get((entry.user, entry.key), "")].append(entry)
        return found


def _grouped(rows: Sequence[Any], name: str) -> Mapping[str, list[Any]]:
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[getattr(row, name)].append(row)
    return found


_JOBS: Final = """
SELECT id::text, user_id, idempotency_key AS key, status, result, error_code, error_message, epoch,
       tries, attempts, charge_micro, input_tokens, output_tokens, worker,
       extract(epoch FROM created_at)::float8 AS created_at,
       extract(epoch FROM finished_at)::float8 AS finished_at, cancelled_by, partial_text
  FROM aifeature_job ORDER BY created_at
"""
_ATTEMPTS: Final = """
SELECT id::text, job_id::text AS job, user_id, feature, epoch, number, purpose, model, state,
       input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_micro, bound_micro,
       day::text, error_code, error_detail, extract(epoch FROM started_at)::float8 AS started_at,
       extract(epoch FROM ended_at)::float8 AS ended_at, own_spend, budget
  FROM aifeature_attempt ORDER BY started_at
"""
_WINDOWS: Final = """
SELECT w.scope, w.key, w.day::text, w.spent_micro, w.held_micro,
       coalesce(p.micro, 0) AS peak_micro, chaos_cap(w.scope, w.key) AS cap_micro,
       coalesce(p.over, 0) AS over_micro, w.own_spend_micro,
       p.own_over AS own_over_micro
  FROM aifeature_spendwindow w
  LEFT JOIN chaos_peak p USING (scope, key, day)
"""
_CAPS: Final = """
SELECT CASE WHEN field = 'monthly_budget_usd' THEN 'month'
            WHEN feature = '_everything' THEN 'global' ELSE 'feature' END AS scope,
       extract(epoch FROM at)::float8 AS at, (new::numeric * 1000000)::bigint AS micro
  FROM aifeature_controlchange
 WHERE field IN ('daily_budget_usd', 'monthly_budget_usd') ORDER BY at
"""
_DRIFTS: Final = """
SELECT scope, key, day::text, spent_drift AS spent_micro, held_drift AS held_micro,
       own_drift AS own_spend_micro
  FROM aif_reconcile_windows(
           coalesce((SELECT min(day) FROM aifeature_attempt), current_date), false)
"""
_WAITS: Final = "SELECT waits_for, count(*) FROM chaos_change WHERE waits_for <> '' GROUP BY 1"
_ALERTS: Final = "SELECT kind, subject, summary FROM aifeature_alert ORDER BY opened_at"
_TRIPS: Final = """
SELECT feature AS slug, field, new, check_name AS check, reason,
       extract(epoch FROM at)::float8 AS at
  FROM aifeature_controlchange WHERE check_name NOT IN ('', 'seed') ORDER BY at
"""
_THROTTLED: Final = """
SELECT DISTINCT user_id FROM aifeature_rateoverride WHERE check_name <> '' AND user_id IS NOT NULL
"""
_CHANGES: Final = """
SELECT seq, extract(epoch FROM at)::float8 AS at, tx, thing, id::text, job::text, old_epoch,
       epoch, old_state, state, old_worker, worker, changed
  FROM chaos_change ORDER BY seq
"""


def from_database(connection: psycopg.Connection) -> dict[str, Any]:
    """Return the rows of one point in time, by the names of Evidence's fields."""
    found = books.read(
        connection,
        {
            "jobs": (class_row(Job), _JOBS),
            "attempts": (class_row(Attempt), _ATTEMPTS),
            "windows": (class_row(Window), _WINDOWS),
            "changes": (class_row(Change), _CHANGES),
            "caps": (class_row(Cap), _CAPS),
            "drifts": (class_row(Drift), _DRIFTS),
            "alerts": (class_row(Alert), _ALERTS),
            "trips": (class_row(Trip), _TRIPS),
            "throttled": (scalar_row, _THROTTLED),
            "waits": (tuple_row, _WAITS),
        },
    )
    return {**found, "waits": dict(found["waits"])}


def from_provider(record: Path) -> list[Call]:
    """Return the calls in the provider's record, each in its last state."""
    calls: dict[str, Call] = {}
    for line in record.read_text().splitlines():
        found = json.loads(line)
        found.setdefault("billed", found["usage"])
        calls[found["request_id"]] = Call(**{name: found[name] for name in Call.__slots__})
    return list(calls.values())


_OPENED: Final = re.compile(r"(\S+Z) WARNING \S+ (breaker of (\S+): \S+ -> open .*)")


def from_logs(logs: Path) -> list[Opened]:
    """Return the openings of breakers in the workers' logs."""
    return [
        Opened(datetime.fromisoformat(at).timestamp(), model, text)
        for log in sorted(logs.glob("llm-*.log"))
        for at, text, model in _OPENED.findall(log.read_text(errors="replace"))
    ]
