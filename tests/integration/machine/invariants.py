"""Promises that need no model: they are read off the rows alone, after every step."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tests.integration.machine.ledger import UNSURE, Caps, windows_of
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
    for key, row in earlier.items():
        _change(row, rows.get(key))
    _windows(rows, attempts, caps)


def _job(job: JobRow, attempts: list[AttemptRow]) -> None:
    assert (job.finished_at is not None) == (job.status in TERMINAL), job
    assert (job.lease_until is not None) == (job.status == "running"), job
    numbers = sorted(attempt.number for attempt in attempts)
    assert numbers == list(range(1, job.attempts + 1)), f"numbered {numbers}: {job}"
    still_open = [attempt for attempt in attempts if attempt.state == "started"]
    assert job.status == "running" or not still_open, f"left open: {still_open} of {job}"
    assert all(attempt.epoch == job.epoch for attempt in still_open), f"of an old run: {still_open}"
    if job.charge:
        accepted = [a for a in attempts if a.state == "settled" and a.cost == job.charge]
        assert accepted, f"charged for no accepted call: {job}"
    if job.charge or job.result is not None:
        assert job.status in {"succeeded", "needs_approval", "cancelled"}, job
    if job.cancel_requested_at is not None and job.status in {"running", "cancelled"}:
        assert job.text.startswith("C"), f"lost the sentence of who cancelled it: {job}"
    if job.status in {"queued", "needs_approval"}:
        assert job.cancel_requested_at is None, f"to be cancelled, and put back: {job}"


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
    if isinstance(old, AttemptRow):
        assert isinstance(new, AttemptRow)
        if new != old:
            assert new.state in NEXT_OF_ATTEMPT.get(old.state, set()), f"{old} -> {new}"


def _windows(rows: World, attempts: list[AttemptRow], caps: Caps) -> None:
    spent: Counter[Key] = Counter()
    held: Counter[Key] = Counter()
    for attempt in attempts:
        job = rows["job", attempt.job]
        assert isinstance(job, JobRow)
        for scope, key, day in windows_of(attempt, attempt.day):
            name = window_key(scope, key, day)
            if attempt.state == "started":
                held[name] += attempt.bound
            elif scope != "user":
                spent[name] += attempt.bound if attempt.state == "unknown" else attempt.cost
    charged = _charged(rows, attempts)
    for window in rows.values():
        if not isinstance(window, WindowRow):
            continue
        name = window_key(window.scope, window.key, window.day)
        assert window.held == held.pop(name, 0), f"held is not what is open: {window}"
        if window.scope != "user":
            assert window.spent == spent.pop(name, 0), f"spend is not the ledger's: {window}"
        cap = caps.of(window.scope)
        assert cap is None or window.spent + window.held <= cap, f"over its cap {cap}: {window}"
    assert not +held, f"reserved in no window: {held}"
    assert not +spent, f"spent in no window: {spent}"
    windows = [w for w in rows.values() if isinstance(w, WindowRow) and w.scope == "user"]
    counted = Counter(dict.fromkeys(charged, 0))
    for window in windows:
        counted[window.key] += window.spent
    assert +counted == +charged, f"the users' windows say {counted}, their jobs {charged}"


def _charged(rows: World, attempts: list[AttemptRow]) -> Counter[str]:
    """What the jobs of each user of a feature were charged."""
    charged: Counter[str] = Counter()
    for job in rows.values():
        if isinstance(job, JobRow):
            charged[f"{job.feature}:{job.user}"] += job.charge
    return charged
