"""Calls of a worker that holds a job, or has lost it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from tests.integration.machine import ledger
from tests.integration.machine.calls import Statement
from tests.integration.machine.ledger import Caps, Ending
from tests.integration.machine.rows import AttemptRow, JobRow
from tests.integration.machine.view import Refused, View

MODEL: Final = "claude-haiku-5-5"
ANSWERED: Final = frozenset({"succeeded", "needs_approval"})
APPROVAL: Final = timedelta(seconds=900)
"""Time for a person's decision. Longer than the deadline."""


@dataclass(frozen=True, slots=True)
class Held:
    """A job and the epoch of its claim, which may be an old one."""

    job: UUID
    epoch: int

    def holds(self, row: JobRow | None) -> bool:
        return row is not None and row.status == "running" and row.epoch == self.epoch

    def lock(self, view: View) -> JobRow | None:
        """Lock the job's row and return it, if this worker still holds the job."""
        if not self.holds(view.job_before(self.job)):
            return None
        view.lock(("job", self.job))
        row = view.job(self.job)
        return row if self.holds(row) else None

    def unlocked(self, view: View) -> JobRow | None:
        """Return the job's row, if this worker holds the job and no other call locks the row."""
        row = view.job_before(self.job)
        return row if self.holds(row) and ("job", self.job) not in view.locked_before else None


@dataclass(frozen=True, slots=True)
class Begin:
    """Enter a provider call into the ledger."""

    held: Held
    attempt: UUID
    bound: int
    caps: Caps

    def statement(self, now: datetime) -> Statement:
        caps = {
            "user": self.caps.user,
            "user_spend": self.caps.user_spend,
            "account": self.caps.account,
            "feature": self.caps.feature,
            "global": self.caps.everything,
            "month": self.caps.month,
            "in_flight": self.caps.in_flight,
        }
        return (
            """SELECT aif_begin_attempt(
                   %s, %s, %s, 'generation', 'sandbox', %s, 'v1', 'hash', '{}', %s, %s)""",
            (
                *(self.held.job, self.held.epoch, self.attempt, MODEL),
                *(self.bound, json.dumps(caps)),
            ),
        )

    def run(self, view: View) -> object:
        before = view.job_before(self.held.job)
        row = view.job(self.held.job)
        if self.held.holds(before) and self._why_not(before, view) is None:
            view.lock(("job", self.held.job))
        if row is None or not self.held.holds(row):
            return "fenced"
        if refusal := self._why_not(row, view):
            return refusal
        view.write(row)
        try:
            ledger.hold(view, row, self.bound, self.caps)
        except Refused as refused:
            return str(refused)
        view.change(row, attempts=row.attempts + 1)
        view.write(
            AttemptRow(
                id=self.attempt,
                job=row.id,
                user_id=row.user if row.is_of_user else None,
                budget="" if row.is_of_user else ledger.EVALS,
                feature=row.feature,
                epoch=row.epoch,
                number=row.attempts + 1,
                model=MODEL,
                bound_micro=self.bound,
                day=view.now.date(),
            )
        )
        return "ok"

    @staticmethod
    def _why_not(row: JobRow | None, view: View) -> str | None:
        if row is None:
            return "fenced"
        if row.cancel_requested_at is not None:
            return "cancelled"
        if row.deadline_at <= view.now:
            return "deadline"
        return "paused" if view.is_killed(row.feature) else None


@dataclass(frozen=True, slots=True)
class Settle:
    """Close a call of a job that continues."""

    held: Held
    attempt: UUID
    ending: Ending

    def statement(self, now: datetime) -> Statement:
        return (
            "SELECT aif_settle(%s, %s, %s, %s)",
            (
                *(self.held.job, self.held.epoch, self.attempt),
                settlement(self.attempt, self.ending),
            ),
        )

    def run(self, view: View) -> object:
        if self.held.lock(view) is None:
            return False
        ledger.close(view, self.attempt, self.ending)
        return True


@dataclass(frozen=True, slots=True)
class Finish:
    """End a job, with or without its last call."""

    held: Held
    status: str
    attempt: UUID | None
    ending: Ending
    late: bool = False
    """Whether it failed because of its deadline."""

    @property
    def code(self) -> str:
        if self.status in ANSWERED:
            return ""
        return "deadline_exceeded" if self.late else self.status

    def statement(self, now: datetime) -> Statement:
        result = json.dumps({"text": "R"}) if self.status in ANSWERED else None
        call = (self.attempt, settlement(self.attempt, self.ending))
        if self.status == "needs_approval":
            return (
                "SELECT aif_await_approval(%s, %s, %s, 'why', %s, %s, %s)",
                (self.held.job, self.held.epoch, result, APPROVAL.total_seconds(), *call),
            )
        return (
            "SELECT aif_finish(%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                *(self.held.job, self.held.epoch, self.status, result, self.code, "F"),
                *call,
            ),
        )

    def run(self, view: View) -> object:
        row = self.held.lock(view)
        if row is None:
            return False
        waits = self.status == "needs_approval"
        if waits and row.cancel_requested_at is not None:
            return Finish(self.held, "cancelled", self.attempt, self.ending).run(view)
        shown = ""
        if self.status == "cancelled" and row.cancelled_by == "user":
            shown = self.ending.shown  # only the user's own cancellation charges
        is_first = not row.cancelled_by and row.cancel_requested_at is None
        row = view.change(
            row,
            status=self.status,
            result="R" if self.status in ANSWERED else None,
            code=self.code,
            text=row.text if self.status == "cancelled" else "" if waits else "F",
            cancelled_by="deadline" if self.late and is_first else row.cancelled_by,
            partial=shown,
            lease_until=None,
            finished_at=None if waits else view.now,
            expires_at=view.now + APPROVAL if waits else None,
        )
        accepted = self.status == "succeeded"
        if self.attempt is not None:
            worth = self.ending.worth if shown else 0
            charge = ledger.close(view, self.attempt, self.ending, accepted=accepted, worth=worth)
            if self.status in ANSWERED or shown:
                row = view.change(row, model=MODEL, tokens=self.ending.cost, charge_micro=charge)
        ledger.close_unseen(view, row.id, "run_failed")
        return True


@dataclass(frozen=True, slots=True)
class Release:
    """Return a job to the queue."""

    held: Held
    delay: timedelta
    counts_as_try: bool
    attempt: UUID | None
    ending: Ending

    def statement(self, now: datetime) -> Statement:
        return (
            "SELECT aif_release(%s, %s, %s, %s, 'waiting', 'W {until}', %s, %s)",
            (
                *(self.held.job, self.held.epoch, self.delay.total_seconds(), self.counts_as_try),
                *(self.attempt, settlement(self.attempt, self.ending)),
            ),
        )

    def run(self, view: View) -> object:
        row = self.held.lock(view)
        if row is None:
            return False
        if row.cancel_requested_at is not None:
            return Finish(self.held, "cancelled", self.attempt, self.ending).run(view)
        view.change(
            row,
            status="queued",
            epoch=row.epoch + 1,
            tries=row.tries + self.counts_as_try,
            run_at=view.now + self.delay,
            published_at=None,
            code="waiting",
            text=f"W {row.deadline_at:%H:%M}",
            lease_until=None,
        )
        if self.attempt is not None:
            ledger.close(view, self.attempt, self.ending)
        ledger.close_unseen(view, row.id, "run_failed")
        return True


def settlement(attempt: UUID | None, ending: Ending) -> str | None:
    """Return the settlement that a worker sends. Without a call it has only the shown text."""
    if attempt is None:
        return json.dumps({"delivered_text": ending.shown}) if ending.shown else None
    return json.dumps(
        {
            "state": ending.state,
            "cost_micro": ending.cost,
            "input_tokens": ending.cost,
            "ended_by": "user" if ending.by_user else "",
            "delivered_text": ending.shown,
            "delivered_micro": ending.worth,
        }
    )
