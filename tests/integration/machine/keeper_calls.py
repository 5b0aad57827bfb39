"""Calls of a keeper. They wait for no row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tests.integration.machine import ledger
from tests.integration.machine.calls import LEASE, Statement
from tests.integration.machine.database import FEATURES, USERS
from tests.integration.machine.held_calls import Held
from tests.integration.machine.rows import JobRow
from tests.integration.machine.view import View

DELAY: Final = timedelta(seconds=1)
OWNERS: Final = tuple((feature, user) for feature in FEATURES for user in USERS)


@dataclass(frozen=True, slots=True)
class Switches:
    """Read the owners whose jobs a switch stops."""

    def statement(self, now: datetime) -> Statement:
        features, users = zip(*OWNERS, strict=True)
        return "SELECT feature, user_id FROM aif_paused_of(%s, %s)", (list(features), list(users))

    def run(self, view: View) -> object:
        return {owner for owner in OWNERS if view.is_killed(owner[0])}


@dataclass(frozen=True, slots=True)
class Flags:
    """Read which runs still hold their job, and which jobs were cancelled."""

    runs: tuple[Held, ...]

    def statement(self, now: datetime) -> Statement:
        return "SELECT job, epoch, cancel_requested FROM aif_still_running(%s, %s)", _pairs(self)

    def run(self, view: View) -> object:
        rows = [(held, view.job_before(held.job)) for held in self.runs]
        return {
            (held.job, held.epoch, row.cancel_requested_at is not None)
            for held, row in rows
            if row is not None and held.holds(row)
        }


@dataclass(frozen=True, slots=True)
class Extend:
    """Extend the leases of one process, several jobs in one statement."""

    runs: tuple[Held, ...]

    def statement(self, now: datetime) -> Statement:
        parameters = (*_pairs(self), LEASE.total_seconds())
        return "SELECT aif_extend_leases(%s, %s, %s)", parameters

    def run(self, view: View) -> object:
        for held in self.runs:
            row = held.unlocked(view)
            if row is not None and _is_due(row, view):
                view.change(row, lease_until=min(view.now, row.deadline_at) + LEASE)
        return ""


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Return a job to the queue whose run has no thread in its process."""

    held: Held

    def statement(self, now: datetime) -> Statement:
        return (
            "SELECT aif_give_back(%s, %s, %s, 'I')",
            (self.held.job, self.held.epoch, DELAY.total_seconds()),
        )

    def run(self, view: View) -> object:
        row = self.held.unlocked(view)
        if row is None:
            return False
        if row.cancel_requested_at is not None:
            view.change(
                row,
                status="cancelled",
                epoch=row.epoch + 1,
                code="cancelled",
                lease_until=None,
                finished_at=view.now,
            )
        else:
            calls = [a for a in view.attempts() if (a.job, a.epoch) == (row.id, row.epoch)]
            view.change(
                row,
                status="queued",
                epoch=row.epoch + 1,
                tries=row.tries + any(call.state != "failed" for call in calls),
                run_at=view.now + DELAY,
                published_at=None,
                code="interrupted",
                text="I",
                lease_until=None,
            )
        ledger.close_unseen(view, row.id, "lease_lost")
        return True


def _pairs(call: Flags | Extend) -> tuple[list[object], list[object]]:
    return [held.job for held in call.runs], [held.epoch for held in call.runs]


def _is_due(row: JobRow, view: View) -> bool:
    due_before = min(view.now + LEASE * 2 / 3, row.deadline_at + LEASE)
    return row.lease_until is not None and row.lease_until < due_before
