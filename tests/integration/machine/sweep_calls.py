"""Calls of the dispatcher, which choose their jobs and skip locked ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from tests.integration.machine import ledger
from tests.integration.machine.calls import LEASE, SLOTS, Statement, cancel, is_out, is_over
from tests.integration.machine.rows import TURN, JobRow, TurnRow
from tests.integration.machine.view import View

LOST_AFTER: Final = timedelta(seconds=60)
AGAIN_AFTER: Final = timedelta(seconds=10)
ENDS: Final = {
    "": {"code": "deadline", "message": "D"},
    "waiting": {"code": "provider_down", "message": "P"},
    "feature_paused": {"code": "feature_paused", "message": "S"},
}


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Choose and mark the next jobs of users to publish."""

    limit: int

    def statement(self, now: datetime) -> Statement:
        return (
            "SELECT * FROM aif_choose_jobs(%s, %s, %s, %s, '{}')",
            (self.limit, *(span.total_seconds() for span in (LOST_AFTER, AGAIN_AFTER, LEASE))),
        )

    def run(self, view: View) -> object:
        abandoned = self._abandoned(view)
        for row in abandoned:
            view.change(row, published_at=view.now)
        for row in _free(view.jobs_before(), view):
            if not row.is_of_user:
                continue
            if row.status == "queued" and is_older(row.published_at, LOST_AFTER, view):
                view.change(row, published_at=None)
        waiting = [row for row in view.jobs_before() if _is_waiting(row)]
        live = {row.feature for row in waiting if not view.is_killed(row.feature)}
        picked: list[JobRow] = []
        if any(row.feature in live and row.run_at <= view.now for row in waiting):
            view.lock(TURN)
            picked = self._turns(view, live)
        return [row.id for row in (*abandoned, *picked)]

    def _abandoned(self, view: View) -> list[JobRow]:
        rows = [
            row
            for row in _free(view.jobs_before(), view)
            if row.is_of_user
            and is_abandoned(row, view)
            and (row.published_at is None or is_older(row.published_at, AGAIN_AFTER, view))
        ]
        chosen = in_order(rows, view)[: self.limit]
        order = list(view.answer)
        return sorted(chosen, key=lambda row: order.index(row.id) if row.id in order else 0)

    def _turns(self, view: View, live: set[str]) -> list[JobRow]:
        """Choose one job of each user and feature in turn, after the turn of the last call."""
        turn = view.turn()
        at, found, picked = (turn.feature, turn.user), True, []
        room = min(self.limit, 2 * SLOTS - sum(is_out(row) for row in view.jobs()))
        while room > 0:
            waiting = [row for row in view.jobs() if _is_waiting(row) and row.feature in live]
            later = [(row.feature, row.user) for row in waiting if (row.feature, row.user) > at]
            if not later:
                if not found:
                    at = ("", 0)
                    break
                found, at = False, ("", 0)
                continue
            at = min(later)
            due = [
                row
                for row in waiting
                if (row.feature, row.user) == at
                and not view.is_killed_now(row.feature)  # it may have waited for the turn
                and row.run_at <= view.now
                and ("job", row.id) not in view.locked
            ]
            if due:
                row = min(due, key=lambda row: row.run_at)
                picked.append(view.change(row, published_at=view.now))
                room, found = room - 1, True
        view.write(TurnRow(*at))
        return picked


@dataclass(frozen=True, slots=True)
class DispatchOthers:
    """Choose and mark the next jobs of evaluations to publish."""

    limit: int

    def statement(self, now: datetime) -> Statement:
        spans = (span.total_seconds() for span in (LOST_AFTER, AGAIN_AFTER, LEASE))
        return "SELECT * FROM aif_choose_others(%s, %s, %s, %s)", (self.limit, *spans)

    def run(self, view: View) -> object:
        others = [row for row in view.jobs_before() if not row.is_of_user]
        running = sum(row.status == "running" for row in others)
        lost_after = AGAIN_AFTER if running < view.threads_of_evals() else LOST_AFTER
        again = [
            row
            for row in _free(others, view)
            if (row.status == "queued" and is_older(row.published_at, lost_after, view))
            or (
                is_abandoned(row, view)
                and (
                    row.published_at is None
                    or (row.lease_until is not None and row.published_at < row.lease_until)
                    or is_older(row.published_at, AGAIN_AFTER, view)
                )
            )
        ]
        room = max(0, min(self.limit, _room_of_others(others, view)))
        due = [
            row
            for row in _free(others, view)
            if row.status == "queued"
            and row.published_at is None
            and row.run_at <= view.now
            and not view.is_killed(row.feature)
        ]
        chosen = [
            *sorted(again, key=lambda row: (row.run_at, row.id not in view.answer))[: self.limit],
            *sorted(due, key=lambda row: (row.run_at, row.id not in view.answer))[:room],
        ]
        for row in chosen:
            view.change(row, published_at=view.now)
        return {row.id for row in chosen}


@dataclass(frozen=True, slots=True)
class EndOverdue:
    """Fail the queued jobs whose deadline has passed."""

    limit: int

    def statement(self, now: datetime) -> Statement:
        return "SELECT * FROM aif_end_overdue(%s, %s)", (self.limit, json.dumps(ENDS))

    def run(self, view: View) -> object:
        rows = [
            row
            for row in _free(view.jobs_before(), view)
            if row.status == "queued" and row.deadline_at <= view.now
        ]
        chosen = sorted(rows, key=lambda row: row.deadline_at)[: self.limit]
        for row in chosen:
            why = "feature_paused" if view.is_killed(row.feature) else row.code
            end = ENDS.get(why, ENDS[""])
            view.change(
                row,
                status="failed",
                code=end["code"],
                text=end["message"],
                cancelled_by="deadline",
                finished_at=view.now,
            )
        return {row.id for row in chosen}


@dataclass(frozen=True, slots=True)
class EndUnapproved:
    """Fail the jobs about which no person has decided in time."""

    limit: int

    def statement(self, now: datetime) -> Statement:
        return "SELECT * FROM aif_end_unapproved(%s, 'approval_expired', 'E')", (self.limit,)

    def run(self, view: View) -> object:
        expired = [
            (row.expires_at, row)
            for row in _free(view.jobs_before(), view)
            if row.status == "needs_approval"
            and row.expires_at is not None
            and row.expires_at <= view.now
        ]
        chosen = [row for _, row in sorted(expired, key=lambda each: each[0])[: self.limit]]
        for row in chosen:
            view.change(
                row, status="failed", code="approval_expired", text="E", finished_at=view.now
            )
        return {row.id for row in chosen}


@dataclass(frozen=True, slots=True)
class EndAbandoned:
    """End a job whose worker is lost and that may not run again, or whose run hangs."""

    def statement(self, now: datetime) -> Statement:
        parameters = (json.dumps(ENDS), LEASE.total_seconds())
        return "SELECT * FROM aif_end_lost_run(%s, %s)", parameters

    def run(self, view: View) -> object:
        rows = [
            row
            for row in _free(view.jobs_before(), view)
            if (is_over(row, view) and row.deadline_at <= view.now - LEASE)
            or (
                is_abandoned(row, view)
                and (row.deadline_at <= view.now or row.cancel_requested_at is not None)
            )
        ]
        if not rows:
            return set()
        row = in_order(rows, view)[0]
        if row.cancel_requested_at is not None:
            status, code, text, by = "cancelled", "cancelled", row.text, row.cancelled_by
        else:
            end = ENDS.get(row.code, ENDS[""])
            status, code, text, by = "failed", end["code"], end["message"], "deadline"
        view.change(
            row,
            status=status,
            epoch=row.epoch + 1,
            code=code,
            text=text,
            cancelled_by=by,
            lease_until=None,
            finished_at=view.now,
        )
        ledger.close_unseen(view, row.id, "lease_lost")
        return {row.id}


@dataclass(frozen=True, slots=True)
class CancelStopped:
    """Cancel the jobs of features that were stopped with `cancel`."""

    def statement(self, now: datetime) -> Statement:
        return "SELECT * FROM aif_cancel_stopped(%s, %s)", (99, "C switch")

    def run(self, view: View) -> object:
        rows = [
            row
            for row in _free(view.jobs_before(), view)
            if row.status in {"queued", "running", "needs_approval"}
            and row.cancel_requested_at is None
            and view.is_cancelled(row.feature)
        ]
        for row in rows:
            cancel(view, row, "C switch", "switch")
        return {row.id for row in rows}


@dataclass(frozen=True, slots=True)
class NextDue:
    """Read the seconds until the next job is due."""

    def statement(self, now: datetime) -> Statement:
        return "SELECT aif_next_moment(%s)", (LEASE.total_seconds(),)

    def run(self, view: View) -> object:
        moments = []
        for row in view.jobs():
            if row.status == "queued":
                moments.append(row.deadline_at)
                may_be_sent = row.is_of_user or _room_of_others(view.jobs(), view) > 0
                if row.published_at is None and may_be_sent and not view.is_killed(row.feature):
                    moments.append(row.run_at)
            elif row.lease_until is not None:
                hangs_at = row.deadline_at + LEASE
                lives = is_over(row, view) and view.lives(row.worker, LEASE)
                moments.append(max(row.lease_until, hangs_at) if lives else row.lease_until)
        return (min(moments) - view.now).total_seconds() if moments else None


def is_abandoned(row: JobRow, view: View) -> bool:
    """Return whether its lease has ended and its worker's presence is stale."""
    return is_over(row, view) and not view.lives(row.worker, LEASE)


def is_older(moment: datetime | None, span: timedelta, view: View) -> bool:
    return moment is not None and moment < view.now - span


def in_order(rows: list[JobRow], view: View) -> list[JobRow]:
    """Sort by the end of the lease. Among equals the choice of the database comes first."""
    end = view.now
    chosen: set[UUID] = {item for item in view.answer if isinstance(item, UUID)}
    return sorted(rows, key=lambda row: (row.lease_until or end, row.id not in chosen))


def _is_waiting(row: JobRow) -> bool:
    return row.is_of_user and row.status == "queued" and row.published_at is None


def _room_of_others(rows: list[JobRow], view: View) -> int:
    """Return how many further evaluations may be sent: twice the threads are in flight at most."""
    states = [(row.status, row.published_at) for row in rows if not row.is_of_user]
    out = sum(status == "running" for status, _ in states)
    out += sum(status == "queued" and sent_at is not None for status, sent_at in states)
    return 2 * view.threads_of_evals() - out


def _free(rows: list[JobRow], view: View) -> list[JobRow]:
    return [row for row in rows if ("job", row.id) not in view.locked_before]
