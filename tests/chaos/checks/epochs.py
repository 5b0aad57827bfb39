"""Fencing: nothing is written after the end, and nothing by a run that has lost its job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.violation import Promise, Violation
from tests.chaos.evidence import TERMINAL, Change, Evidence


def epochs_only_rise(evidence: Evidence) -> Iterator[Violation]:
    """A job's epoch never falls, rises by one at a time, and with it nothing of the old remains."""
    for change in _of(evidence, "job"):
        if change.old_epoch is not None and change.epoch not in {
            change.old_epoch,
            change.old_epoch + 1,
        }:
            text = f"epoch {change.old_epoch} became {change.epoch} ({_when(change)})"
            yield Violation(Promise.STALE, text, change.job)


def nothing_after_the_end(evidence: Evidence) -> Iterator[Violation]:
    """A job that has ended is not written again; what ends it may do so in several steps."""
    for job, changes in evidence.changes_of.items():
        ended_by = 0
        for change in (change for change in changes if change.thing == "job"):
            if change.old_state in TERMINAL and change.changed and change.tx != ended_by:
                text = f"{change.old_state}, then {change.changed} changed ({_when(change)})"
                yield Violation(Promise.STALE, text, job)
            elif change.state in TERMINAL:
                ended_by = change.tx


def calls_begin_in_their_own_epoch(evidence: Evidence) -> Iterator[Violation]:
    """A call enters the ledger only while its epoch has the job, and the job runs."""
    for job, changes in evidence.changes_of.items():
        epoch, state = 0, "queued"
        for change in changes:
            if change.thing == "job":
                epoch, state = change.epoch, change.state
            elif change.old_state is None and (change.epoch, "running") != (epoch, state):
                text = f"a call of epoch {change.epoch} began, job {state} in {epoch}"
                yield Violation(Promise.STALE, f"{text} ({_when(change)})", job, change.id)


def calls_are_closed_once(evidence: Evidence) -> Iterator[Violation]:
    """A call that is closed stays as it is: in a run nobody settles by hand."""
    for change in _of(evidence, "attempt"):
        if change.old_state not in {None, "started"} and change.changed:
            text = f"{change.old_state} became {change.state} ({_when(change)})"
            yield Violation(Promise.STALE, text, change.job, change.id)


def calls_are_settled_by_their_own_run(evidence: Evidence) -> Iterator[Violation]:
    """Once a later epoch has the job, an earlier one's calls can only become unknown."""
    for job, changes in evidence.changes_of.items():
        epoch, before, tx = 0, 0, 0
        for change in changes:
            if change.tx != tx:  # a release raises the epoch and settles in one transaction
                before, tx = epoch, change.tx
            if change.thing == "job":
                epoch = change.epoch
            elif change.state in {"settled", "failed", "estimated"} and change.epoch != before:
                text = f"{change.state} by epoch {change.epoch}, the job was in {before}"
                yield Violation(Promise.STALE, f"{text} ({_when(change)})", job, change.id)


def ended_once(evidence: Evidence) -> Iterator[Violation]:
    """Each job reaches an end exactly once."""
    for job, changes in evidence.changes_of.items():
        ends = [
            change.state
            for change in changes
            if change.thing == "job"
            and change.state in TERMINAL
            and change.old_state != change.state
        ]
        if len(ends) > 1:
            yield Violation(Promise.STALE, f"ended as {', then '.join(ends)}", job)


def _of(evidence: Evidence, thing: str) -> Iterator[Change]:
    return (change for change in evidence.changes if change.thing == thing)


def _when(change: Change) -> str:
    return f"change {change.seq} at {change.at:.3f}"


CHECKS: Final = (
    epochs_only_rise,
    nothing_after_the_end,
    calls_begin_in_their_own_epoch,
    calls_are_closed_once,
    calls_are_settled_by_their_own_run,
    ended_once,
)
