"""Fencing: an ended job and a run that lost its job write nothing more."""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.evidence import TERMINAL, Change, Evidence


@check
def epochs_only_rise(evidence: Evidence) -> Iterator[Violation]:
    """A job's epoch never falls, and rises by one at a time."""
    for change in evidence.changes:
        old = change.old_epoch
        if change.thing == "job" and old is not None and change.epoch not in {old, old + 1}:
            text = f"epoch {old} became {change.epoch} ({_when(change)})"
            yield Violation(Promise.STALE, text, change.job)


@check
def ended_jobs_do_not_change(evidence: Evidence) -> Iterator[Violation]:
    """Only the transaction that ends a job writes the ended row, possibly in several steps."""
    for job, changes in evidence.changes_of.items():
        ended_by = 0
        for change in (change for change in changes if change.thing == "job"):
            if change.old_state in TERMINAL and change.changed and change.tx != ended_by:
                text = f"{change.old_state}, then {change.changed} changed ({_when(change)})"
                yield Violation(Promise.STALE, text, job)
            elif change.state in TERMINAL:
                ended_by = change.tx


@check
def calls_begin_in_their_own_epoch(evidence: Evidence) -> Iterator[Violation]:
    """A call enters the ledger only in the epoch of its running job."""
    for job, changes in evidence.changes_of.items():
        epoch, state = 0, "queued"
        for change in changes:
            if change.thing == "job":
                epoch, state = change.epoch, change.state
            elif change.old_state is None and (change.epoch, "running") != (epoch, state):
                text = f"a call of epoch {change.epoch} began, job {state} in {epoch}"
                yield Violation(Promise.STALE, f"{text} ({_when(change)})", job, change.id)


@check
def calls_are_closed_once(evidence: Evidence) -> Iterator[Violation]:
    """A closed call does not change. No person settles calls during a run."""
    for change in evidence.changes:
        is_closed = change.thing == "attempt" and change.old_state not in {None, "started"}
        if is_closed and change.changed:
            text = f"{change.old_state} became {change.state} ({_when(change)})"
            yield Violation(Promise.STALE, text, change.job, change.id)


@check
def calls_are_settled_by_their_own_run(evidence: Evidence) -> Iterator[Violation]:
    """In a later epoch of the job, a call of an earlier one can only become unknown."""
    for job, changes in evidence.changes_of.items():
        epoch, before, tx = 0, 0, 0
        for change in changes:
            if change.tx != tx:  # a return to the queue raises the epoch in the same transaction
                before, tx = epoch, change.tx
            if change.thing == "job":
                epoch = change.epoch
            elif change.state in {"settled", "failed", "estimated"} and change.epoch != before:
                text = f"{change.state} by epoch {change.epoch}, the job was in {before}"
                yield Violation(Promise.STALE, f"{text} ({_when(change)})", job, change.id)


@check
def jobs_end_once(evidence: Evidence) -> Iterator[Violation]:
    """Each job ends exactly once."""
    for job, changes in evidence.changes_of.items():
        jobs = [change for change in changes if change.thing == "job"]
        ends = [c.state for c in jobs if c.state in TERMINAL and c.old_state != c.state]
        if len(ends) > 1:
            yield Violation(Promise.STALE, f"ended as {', then '.join(ends)}", job)


def _when(change: Change) -> str:
    return f"change {change.seq} at {change.at:.3f}"
