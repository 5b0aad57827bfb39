"""Promises that need no model, checked on the rows after every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests import books
from tests.integration.machine.ledger import UNSURE, Caps
from tests.integration.machine.rows import TERMINAL, AttemptRow, JobRow, Row, WindowRow, World

NEXT: Final = {
    "queued": {"running", "failed", "cancelled"},
    "running": {"queued", "needs_approval", "succeeded", "failed", "cancelled"},
    "needs_approval": {"succeeded", "rejected", "cancelled", "failed"},
}
NEXT_OF_ATTEMPT: Final = {
    "started": {"settled", "failed", *UNSURE},
    **{state: {"settled"} for state in UNSURE},
}


def check(rows: World, *, earlier: World, caps: Caps) -> None:
    """Assert the promises for the committed rows and for their changes since the last check."""
    attempts = [row for row in rows.values() if isinstance(row, AttemptRow)]
    for row in rows.values():
        if isinstance(row, JobRow):
            _job(row, [attempt for attempt in attempts if attempt.job == row.id])
    for call in attempts:
        assert not call.own_spend or call.state in {"settled", *UNSURE}, f"own spend: {call}"
    for key, row in earlier.items():
        _change(row, rows.get(key))
    for row in rows.values():
        if isinstance(row, JobRow):
            _charge(row, earlier.get(("job", row.id)), attempts)
    _windows(rows, attempts, caps)


def _job(job: JobRow, attempts: list[AttemptRow]) -> None:
    assert (job.finished_at is not None) == (job.status in TERMINAL), job
    assert (job.lease_until is not None) == (job.status == "running"), job
    numbers = sorted(attempt.number for attempt in attempts)
    assert numbers == list(range(1, job.attempts + 1)), f"numbered {numbers}: {job}"
    still_open = [attempt for attempt in attempts if attempt.state == "started"]
    assert job.status == "running" or not still_open, f"left open: {still_open} of {job}"
    assert all(attempt.epoch == job.epoch for attempt in still_open), f"of an old run: {still_open}"
    if job.charge_micro and not job.partial:
        costs = [attempt.cost_micro for attempt in attempts if attempt.state == "settled"]
        assert job.charge_micro in costs, f"charged for no accepted call: {job}"
        assert job.result is not None, f"charged without an answer or text: {job}"
    if job.partial:
        assert job.status == "cancelled", f"has partial text: {job}"
        assert job.cancelled_by == "user", f"has partial text, not cancelled by its user: {job}"
        assert job.result is None, job
    if job.charge_micro:
        assert job.status in {"succeeded", "cancelled"}, f"charged without an end: {job}"
    if job.result is not None:
        assert job.status == "succeeded" or job.expires_at is not None, job
    if job.expires_at is not None:
        assert job.status in {"needs_approval", "failed", "cancelled"}, job
        assert job.charge_micro == 0, f"charged without an approval: {job}"
    assert job.status != "needs_approval" or job.expires_at is not None, f"never ends: {job}"
    if job.cancel_requested_at is not None and job.status in {"running", "cancelled"}:
        assert job.text.startswith("C"), f"lost the message of its cancellation: {job}"
    if job.status in {"queued", "needs_approval"}:
        assert job.cancel_requested_at is None, f"returned to the queue after a cancellation: {job}"
    if job.cancelled_by == "deadline":
        assert job.status == "failed", job
    elif job.cancelled_by:
        assert job.cancel_requested_at is not None, f"has an author and no cancellation: {job}"


def _change(old: Row, new: Row | None) -> None:
    assert new is not None, f"deleted: {old}"
    if isinstance(old, JobRow):
        assert isinstance(new, JobRow)
        assert new.epoch >= old.epoch, f"epoch fell: {old} -> {new}"
        if old.status in TERMINAL:
            assert new == old, f"an ended job changed: {old} -> {new}"
        if new.status != old.status:
            assert new.status in NEXT[old.status], f"not allowed: {old} -> {new}"
        elif new.started_at != old.started_at:
            assert old.started_at is None, f"started twice: {old} -> {new}"
        if old.cancel_requested_at is not None:
            assert new.cancelled_by == old.cancelled_by, f"the author changed: {old} -> {new}"
    if isinstance(old, AttemptRow):
        assert isinstance(new, AttemptRow)
        if new != old:
            assert new.state in NEXT_OF_ATTEMPT.get(old.state, set()), f"{old} -> {new}"
            assert new.own_spend == old.own_spend or old.state == "started", f"{old} -> {new}"


def _charge(job: JobRow, old: Row | None, attempts: Sequence[AttemptRow]) -> None:
    """The charge of a job is at most the spend of its last call."""
    if not isinstance(old, JobRow) or job.charge_micro == old.charge_micro:
        return
    assert old.charge_micro == 0, f"charged twice: {old} -> {job}"
    (last,) = [a for a in attempts if a.job == job.id and a.number == job.attempts]
    assert last.epoch == job.epoch, f"charged for a call of an earlier run: {job}"
    assert job.charge_micro <= books.counted(last), f"charged more than is counted: {job}, {last}"


def _windows(rows: World, attempts: list[AttemptRow], caps: Caps) -> None:
    windows = [window for window in rows.values() if isinstance(window, WindowRow)]
    jobs = [job for job in rows.values() if isinstance(job, JobRow)]
    assert not (off := books.differences(jobs, attempts, windows)), f"windows minus ledger: {off}"
    for window in windows:
        for what, cap, spent in caps.on(window):
            assert spent + window.held_micro <= cap, f"over the cap {what} of {cap}: {window}"
