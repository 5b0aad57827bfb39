"""Calls of users, operators and messages: their SQL and their model."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from tests.books import OF_A_USER, counted, payer_of, windows_of
from tests.integration.machine import ledger
from tests.integration.machine.rows import ControlRow, JobRow, KeyRow, WorkerRow
from tests.integration.machine.view import View

LEASE: Final = timedelta(seconds=90)
DEADLINE: Final = timedelta(seconds=600)
SLOTS: Final = 8
"""Jobs that may run at the same time while there is no worker."""

LOCKED: Final = "locked"
"""The result of a claim whose queued job another transaction has locked: an error in SQL."""

Statement = tuple[str, tuple[Any, ...]]


class Call(Protocol):
    """One statement in its own transaction."""

    def statement(self, now: datetime) -> Statement:
        """Return the SQL and its parameters."""

    def run(self, view: View) -> object:
        """Change the rows of the view. Return the answer that the database must give."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit a new job, with or without an idempotency key."""

    job: UUID
    user: int
    feature: str
    key: str | None
    marked: bool
    """Whether to publish it immediately, if a thread is free."""

    def statement(self, now: datetime) -> Statement:
        return (
            "SELECT outcome FROM aif_submit(%s, %s, %s, '{}', %s, '', NULL, %s, %s, NULL)",
            (*(self.job, self.user, self.feature, self.key), DEADLINE.total_seconds(), self.marked),
        )

    def run(self, view: View) -> object:
        if view.is_killed(self.feature):
            return "paused"
        view.lock(("job", self.job))
        if self.key is not None:
            entry = KeyRow(self.user, self.key, self.job)
            if taken := view.key(entry):
                view.maybe.add(("job", taken.job))  # the call may wait for a change of that job
                return "exists"
            view.write(entry)
        view.write(
            JobRow(
                id=self.job,
                user=self.user,
                feature=self.feature,
                key=self.key,
                run_at=view.now,
                deadline_at=view.now + DEADLINE,
                published_at=view.now if self.marked and self._is_room(view) else None,
            )
        )
        return "stored"

    @staticmethod
    def _is_room(view: View) -> bool:
        return sum(is_out(row) for row in view.jobs_before()) < SLOTS


@dataclass(frozen=True, slots=True)
class SubmitOther:
    """Submit a job of an evaluation. A kill switch only stops its run."""

    job: UUID
    user: int
    feature: str
    key: str

    def statement(self, now: datetime) -> Statement:
        return (
            """SELECT outcome || ' ' || job
                 FROM aif_submit_other(%s, %s, %s, '{}', %s, 'eval', '{}', %s)""",
            (self.job, self.user, self.feature, self.key, DEADLINE.total_seconds()),
        )

    def run(self, view: View) -> object:
        view.lock(("job", self.job))
        entry = KeyRow(self.user, self.key, self.job)
        if taken := view.key(entry):
            view.maybe.add(("job", taken.job))  # the call may wait for a change of that job
            return f"exists {taken.job}"
        view.write(entry)
        view.write(
            JobRow(
                id=self.job,
                user=self.user,
                feature=self.feature,
                key=self.key,
                run_at=view.now,
                deadline_at=view.now + DEADLINE,
                published_at=None,
                origin="eval",
            )
        )
        return f"stored {self.job}"


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim the job of a message if it is due or abandoned."""

    job: UUID
    worker: str

    def statement(self, now: datetime) -> Statement:
        return (
            """SELECT epoch, feature, user_id, tries, attempts, seconds_left, cancel_requested,
                      waited_for FROM aif_claim_run(%s, %s, %s)""",
            (self.job, self.worker, LEASE.total_seconds()),
        )

    def run(self, view: View) -> object:
        row = view.job_before(self.job)
        if row is None or not self._is_ours(row, view):
            return None
        if ("job", self.job) in view.locked_before:
            return LOCKED if row.status == "queued" else None
        row = view.change(
            row,
            status="running",
            epoch=row.epoch + 1,
            tries=row.tries + (row.status == "running"),
            worker=self.worker,
            started_at=row.started_at or view.now,
            lease_until=view.now + LEASE,
        )
        ledger.close_unseen(view, self.job, "lease_lost")
        return (
            row.epoch,
            row.feature,
            row.user,
            row.tries,
            row.attempts,
            (row.deadline_at - view.now).total_seconds(),
            row.cancel_requested_at is not None,
            row.code,
        )

    def _is_ours(self, row: JobRow, view: View) -> bool:
        due = row.status == "queued" and row.run_at <= view.now
        if due or not is_over(row, view):
            return due
        return not view.lives(row.worker, LEASE) and view.may_take_over(self.worker)


@dataclass(frozen=True, slots=True)
class WritePresence:
    """Write a worker's presence. Only workers of evaluations have threads, so the publish window of
    users does not change.
    """

    worker: str
    slots: int = 0

    def statement(self, now: datetime) -> Statement:
        return (
            """INSERT INTO aifeature_worker (name, queue, slots, seen_at)
               VALUES (%s, %s, %s, statement_timestamp())
                   ON CONFLICT (name) DO UPDATE SET seen_at = statement_timestamp()
               RETURNING name""",
            (self.worker, "evals" if self.slots else "llm", self.slots),
        )

    def run(self, view: View) -> object:
        view.write(WorkerRow(self.worker, view.now, self.slots))
        return self.worker


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel a job as its user, another user, staff or an erasure."""

    job: UUID
    user: int
    text: str
    by: str = "user"
    """Empty: a process of the previous release, which does not send the author."""
    shown: str = ""
    """Text that an interrupted run had shown."""

    def statement(self, now: datetime) -> Statement:
        parameters = (self.job, self.user, self.text)
        if not self.by:
            return "SELECT aif_cancel(%s, %s, %s)", parameters
        return "SELECT aif_cancel_shown(%s, %s, %s, %s, %s)", (*parameters, self.by, self.shown)

    def run(self, view: View) -> object:
        row = view.job(self.job)
        if self._may(view.job_before(self.job)):
            view.lock(("job", self.job))
            if row is not None and self._may(row):
                keeps = row.status == "queued" and self.by == "user"
                row = cancel(view, row, self.text, self.by, self.shown if keeps else "")
        return row.status if row is not None and row.user == self.user else None

    def _may(self, row: JobRow | None) -> bool:
        return (
            row is not None
            and row.user == self.user
            and row.status in {"queued", "running", "needs_approval"}
        )


@dataclass(frozen=True, slots=True)
class Switch:
    """Stop or release a feature, or everything."""

    feature: str
    killed: bool
    mode: str = "hold"

    def statement(self, now: datetime) -> Statement:
        return (
            """UPDATE aifeature_featurecontrol SET killed = %s, kill_mode = %s
                WHERE feature = %s RETURNING killed""",
            (self.killed, self.mode, self.feature),
        )

    def run(self, view: View) -> object:
        view.write(ControlRow(self.feature, self.killed, self.mode))
        return self.killed


@dataclass(frozen=True, slots=True)
class SettleUnknown:
    """Set the cost of a call whose bill is not certain, as a person."""

    attempt: UUID
    cost: int

    def statement(self, now: datetime) -> Statement:
        costs = json.dumps({"cost_micro": self.cost, "input_tokens": self.cost})
        return "SELECT aif_settle_unknown(%s, 1, 'why', %s)", (self.attempt, costs)

    def run(self, view: View) -> object:
        before = view.attempt_before(self.attempt)
        if before is None or before.state not in ledger.UNSURE:
            return False
        view.lock(("attempt", self.attempt))
        row = view.attempt(self.attempt)
        if row is None or row.state not in ledger.UNSURE:
            return False
        view.change(row, state="settled", cost_micro=self.cost, tokens=self.cost)
        more = self.cost - counted(row)
        for scope, key, day in windows_of(row.user_id, payer_of(row), row.day):
            window = view.window(scope, key, day)
            if scope not in OF_A_USER:
                view.change(window, spent_micro=window.spent_micro + more)
            elif row.own_spend:  # the charge stays as it is
                view.change(window, own_spend_micro=window.own_spend_micro + more)
        return True


def cancel(view: View, row: JobRow, text: str, by: str, shown: str = "") -> JobRow:
    """Cancel a job. A running one keeps its status until its worker ends it."""
    if row.cancel_requested_at is None:
        row = replace(row, text=text, cancelled_by=by, cancel_requested_at=view.now)
    if row.status != "running":
        row = replace(row, status="cancelled", code="cancelled", partial=shown)
        row = replace(row, finished_at=view.now)
    view.write(row)
    return row


def is_over(row: JobRow, view: View) -> bool:
    """Return whether the lease of a run has ended."""
    return row.lease_until is not None and row.lease_until < view.now


def is_out(row: JobRow) -> bool:
    """Return whether a job of a user takes a place in the publish window: published or running."""
    is_published = row.status == "queued" and row.published_at is not None
    return row.is_of_user and (row.status == "running" or is_published)
