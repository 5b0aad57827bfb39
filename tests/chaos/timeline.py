"""The timeline of one job, to find out what happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from tests.chaos.checks.violation import Violation
from tests.chaos.evidence import Evidence

WIDTH = 400


def of(evidence: Evidence, violation: Violation) -> str:
    """Return rows, changes, provider calls and requests; times since the first request."""
    job = violation.job
    if not job and violation.attempt:
        job = next((a.job for a in evidence.attempts if a.id == violation.attempt), "")
    lines = sorted(_lines(evidence, job))
    begin = min((entry.begun for entry in evidence.requests if entry.begun), default=0.0)
    rows = [evidence.job_by_id.get(job), *evidence.attempts_of.get(job, [])]
    shown = [f"    row    {row}"[:WIDTH] for row in rows if row is not None]
    shown += [f"    {at - begin:8.3f}  {text}"[:WIDTH] for at, text in lines]
    return "\n".join(shown)


def _lines(evidence: Evidence, job: str) -> Iterator[tuple[float, str]]:
    for change in evidence.changes_of.get(job, []):
        was = f"{change.old_state}/{change.old_epoch} to " if change.old_state else ""
        now = f"{change.state}/{change.epoch}"
        worker = f" by {change.worker}" if change.worker else ""
        text = f"{change.thing} {change.id[:8]} {was}{now}{worker} {','.join(change.changed)}"
        yield change.at, f"db     {text}"
    for attempt in evidence.attempts_of.get(job, []):
        for call in evidence.calls_of.get(attempt.id, []):
            yield call.started_at, f"call   {attempt.id[:8]} arrived"
            ended = call.ended_at or call.started_at
            text = f"{attempt.id[:8]} {call.outcome} {call.fault or ''} {call.usage}"
            yield ended, f"call   {text}"
    for entry in evidence.requests_of.get(job, []) if job else ():
        facts = {
            name: value
            for name, value in asdict(entry).items()
            if value and name not in {"user", "begun", "at", "job"}
        }
        yield entry.at, f"client {entry.at - entry.begun:.3f} s {facts}"
    for fault in evidence.faults:
        yield fault.begun, f"FAULT  {fault.number} {fault.kind} ({fault.target}) begins"
        if fault.ended:
            yield fault.ended, f"FAULT  {fault.number} {fault.kind} ({fault.target}) is over"
