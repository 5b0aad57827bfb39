"""Rescue: a job whose worker was lost runs again within 30 seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.evidence import Change, Evidence
from tests.chaos.injector import Done
from tests.chaos.plan import LLM_WORKERS, POSTGRES_AWAY, REDIS_AWAY, SWITCHES, Kind

PROMISED_S: Final = 30.0
AFTERMATH_S: Final = 35.0
"""Seconds after an outage of the database in which a worker may still wait on a dead connection:
the time-outs of keepalive and TCP_USER_TIMEOUT."""

MARGIN_S: Final = 1.0
SIGNS: Final = frozenset({"lease_until", "attempts"})
"""Columns that only the worker itself writes while it runs the job."""

OUTAGES: Final = POSTGRES_AWAY | REDIS_AWAY
"""During these faults no worker can claim, and no message arrives."""


@dataclass(frozen=True, slots=True)
class Rescue:
    """A run that was taken over after its lease had ended."""

    job: str
    at: float
    """Time of the new claim, or of the end of the job."""

    seconds: float
    """Since the fault, or since the end of an outage that lasted longer."""

    whole_seconds: float
    """Since the fault, outages included."""

    fault: Done | None
    """None: no fault explains the loss."""


def rescues(evidence: Evidence) -> list[Rescue]:
    """Return every run that was taken over."""
    found = []
    for job, changes in evidence.changes_of.items():
        alive_at = 0.0
        for change in changes:
            if change.thing != "job" or change.old_epoch is None:
                continue
            risen = change.epoch > change.old_epoch
            if risen and change.old_state == change.state == "running":
                found.append(_rescue(evidence, job, change, alive_at))
            if change.state == "running" and (risen or set(change.changed) & SIGNS):
                alive_at = change.at
    return found


def _rescue(evidence: Evidence, job: str, change: Change, alive_at: float) -> Rescue:
    worker = (change.old_worker or "").partition("@")[0]
    hits = [
        fault
        for fault in evidence.faults
        if worker in fault.hit
        and fault.hit[worker] <= change.at
        and alive_at <= (fault.ended or change.at) + AFTERMATH_S
    ]
    if not hits:
        return Rescue(job, change.at, 0.0, 0.0, None)
    # The first fault after its last sign of life, or else one that it had not recovered from.
    after = [hit for hit in hits if hit.hit[worker] >= alive_at - MARGIN_S]
    fault = min(after or hits, key=lambda hit: abs(hit.hit[worker] - alive_at))
    begun = max(fault.hit[worker], alive_at)
    # One that has not ended did not prevent this claim, and does not undo those before it.
    free_from = max([begun, *(end for _, end in _outages(evidence) if end <= change.at)])
    return Rescue(job, change.at, change.at - free_from, change.at - begun, fault)


def _outages(evidence: Evidence) -> list[tuple[float, float]]:
    """Return the periods without claims: an outage, no worker, or a kill switch of everything."""
    spans = [
        (fault.begun, fault.ended or float("inf"))
        for fault in evidence.faults
        if fault.kind in OUTAGES | SWITCHES
    ]
    first, second = (_absences(evidence, name) for name in LLM_WORKERS)
    both = [(max(a, c), min(b, d)) for a, b in first for c, d in second if max(a, c) < min(b, d)]
    return spans + both


def _absences(evidence: Evidence, worker: str) -> list[tuple[float, float]]:
    """Return the periods in which this worker took no jobs: killed, stopped or restarting."""
    return [
        (fault.hit[worker], fault.back.get(worker, fault.ended or float("inf")))
        for fault in evidence.faults
        if fault.kind in {Kind.LLM_KILL, Kind.LLM_STOP, Kind.ROLLING_RESTART}
        and worker in fault.hit
    ]


@check
def rescues_are_fast_and_explained(evidence: Evidence) -> Iterator[Violation]:
    """Each rescue follows a fault within 30 seconds."""
    for rescue in rescues(evidence):
        if rescue.fault is None:
            text = f"taken over at {rescue.at:.3f}, and no fault had hit its worker"
            yield Violation(Promise.RESCUE, text, rescue.job)
        elif rescue.seconds > PROMISED_S:
            text = f"{rescue.seconds:.1f} s after {rescue.fault.kind} (fault {rescue.fault.number})"
            yield Violation(Promise.RESCUE, text, rescue.job)
