"""Promises that need no model: they are read off the rows alone, after every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from tests.integration.machine.ledger import OF_A_USER, UNSURE, Caps, counted, windows_of
from tests.integration.machine.rows import (
    TERMINAL,
    AttemptRow,
    JobRow,
    Key,
    Row,
    WindowRow,
    World,
    window_key,
)

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
    """Hold what is committed to the promises, by itself and against what was committed before.

    Raises:
        AssertionError: naming the row and the promise.
    """
    attempts = [row for row in rows.values() if isinstance(row, AttemptRow)]
    for row in rows.values():
        if isinstance(row, JobRow):
            _job(row, [attempt for attempt in attempts if attempt.job == row.id])
    for attempt in attempts:
        assert not attempt.own or attempt.state in {"settled", *UNSURE}, f"own spend: {attempt}"
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
    if job.charge and not job.partial:
        accepted = [a for a in attempts if a.state == "settled" and a.cost == job.charge]
        assert accepted, f"charged for no accepted call: {job}"
        assert job.result is not None, f"charged for no answer and no text: {job}"
    if job.partial:
        assert job.status == "cancelled", f"keeps a part of an answer: {job}"
        assert job.cancelled_by == "user", f"charged for what somebody else did: {job}"
        assert job.result is None, job
    if job.charge or job.result is not None:
        assert job.status in {"succeeded", "needs_approval", "cancelled"}, job
    if job.cancel_requested_at is not None and job.status in {"running", "cancelled"}:
        assert job.text.startswith("C"), f"lost the sentence of who cancelled it: {job}"
    if job.status in {"queued", "needs_approval"}:
        assert job.cancel_requested_at is None, f"to be cancelled, and put back: {job}"
    if job.cancelled_by == "deadline":
        assert job.status == "failed", job
    elif job.cancelled_by:
        assert job.cancel_requested_at is not None, f"cancelled by somebody, never: {job}"


def _change(old: Row, new: Row | None) -> None:
    assert new is not None, f"gone: {old}"
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
            assert new.cancelled_by == old.cancelled_by, f"the first stays: {old} -> {new}"
    if isinstance(old, AttemptRow):
        assert isinstance(new, AttemptRow)
        if new != old:
            assert new.state in NEXT_OF_ATTEMPT.get(old.state, set()), f"{old} -> {new}"
            assert new.own == old.own or old.state == "started", f"own spend: {old} -> {new}"


def _charge(job: JobRow, old: Row | None, attempts: Sequence[AttemptRow]) -> None:
    """What a job is charged at its end is at most what the ledger counts then for its last call."""
    if not isinstance(old, JobRow) or job.charge == old.charge:
        return
    assert old.charge == 0, f"charged twice: {old} -> {job}"
    (last,) = [a for a in attempts if a.job == job.id and a.number == job.attempts]
    assert last.epoch == job.epoch, f"charged for a call of an earlier run: {job}"
    assert job.charge <= counted(last), f"charged more than is counted: {job}, {last}"


def _windows(rows: World, attempts: list[AttemptRow], caps: Caps) -> None:
    due = _due(attempts)
    windows = [window for window in rows.values() if isinstance(window, WindowRow)]
    for window in windows:
        name = window_key(window.scope, window.key, window.day)
        assert window.held == due["held"].pop(name, 0), f"held is not what is open: {window}"
        assert window.own == due["own"].pop(name, 0), f"own spend is not the ledger's: {window}"
        if window.scope not in OF_A_USER:
            assert window.spent == due["spent"].pop(name, 0), f"not the ledger's spend: {window}"
        for what, cap, spent in caps.on(window):
            assert spent + window.held <= cap, f"over the cap {what} of {cap}: {window}"
    assert not any(+missing for missing in due.values()), f"in no window: {due}"
    charged = _charged(rows)
    found = Counter(dict.fromkeys(charged, 0))
    for window in windows:
        if window.scope in OF_A_USER:
            found[window.scope, window.key] += window.spent
    assert +found == +charged, f"the users' windows say {found}, their jobs {charged}"


def _due(attempts: list[AttemptRow]) -> dict[str, Counter[Key]]:
    """What each window must hold by the ledger; `spent` not of users, whose jobs say it."""
    due: dict[str, Counter[Key]] = {"held": Counter(), "spent": Counter(), "own": Counter()}
    for attempt in attempts:
        for scope, key, day in windows_of(attempt, attempt.day):
            name = window_key(scope, key, day)
            if attempt.state == "started":
                due["held"][name] += attempt.bound
            elif scope not in OF_A_USER:
                due["spent"][name] += counted(attempt)
            elif attempt.own:
                due["own"][name] += counted(attempt)
    return due


def _charged(rows: World) -> Counter[Key]:
    """What the jobs of each user of a feature were charged, and of each user."""
    charged: Counter[Key] = Counter()
    for job in rows.values():
        if isinstance(job, JobRow):
            charged["user", f"{job.feature}:{job.user}"] += job.charge
            charged["account", str(job.user)] += job.charge
    return charged
