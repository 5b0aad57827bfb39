"""Cancellation: the user's own is charged for the text that was delivered, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.violation import Promise, Violation
from tests.chaos.evidence import Attempt, Evidence, Job
from tests.chaos.plan import POSTGRES_AWAY, REDIS_AWAY, SWITCHES, Kind

USER: Final = "user"
ABORTED: Final = "cancelled"
LOST: Final = "lease_lost"
"""Error codes of a call that we ended ourselves, and of one whose worker was lost."""

UNSURE: Final = frozenset({"estimated", "unknown"})

UNDER_WAY: Final = 80
"""Characters of two writes: readers may have what Redis has not acknowledged to the worker yet."""

OTHER_CAUSES: Final = (
    REDIS_AWAY | POSTGRES_AWAY | SWITCHES | {Kind.VALKEY_FLUSH, Kind.ROLLING_RESTART}
)
"""Faults in which a worker cannot know what Redis has of a text, or ends the call itself."""

AFTER_S: Final = 3.0
"""So long after such a fault its consequences may still be seen."""


def last_call(evidence: Evidence, job: Job) -> Attempt | None:
    """The call with the highest number."""
    calls = evidence.attempts_of.get(job.id, [])
    return max(calls, key=lambda attempt: attempt.number, default=None)


def delivered_text_is_charged(evidence: Evidence) -> Iterator[Violation]:
    """A job that its user cancelled is charged for its stored text, and never above the ledger.

    Text of an earlier run is free, and that of an earlier call of the run may be.
    """
    for job in evidence.jobs:
        if job.status == "succeeded":
            continue
        if not (job.cancelled_by == USER and job.partial_text):
            if job.charge_micro:
                text = f"{job.status} by {job.cancelled_by or 'nobody'}, no text is stored,"
                yield Violation(Promise.CHARGE, f"{text} charged {job.charge_micro}", job.id)
            continue
        call = last_call(evidence, job)
        of_this_run = call is not None and call.epoch == job.epoch
        counted = call.spend_micro if call is not None and of_this_run else 0
        is_alone = len(evidence.attempts_of.get(job.id, ())) == 1
        least = 1 if of_this_run and is_alone else 0
        if not least <= job.charge_micro <= counted:
            text = f"{len(job.partial_text)} characters were delivered, charged {job.charge_micro},"
            yield Violation(Promise.CHARGE, f"{text} the ledger counts {counted}", job.id)


def only_a_cancelled_job_has_partial_text(evidence: Evidence) -> Iterator[Violation]:
    """Text without a result is stored for the user who cancelled, and for nobody else."""
    for job in evidence.jobs:
        if job.partial_text and (job.status, job.cancelled_by) != ("cancelled", USER):
            text = f"{job.status} by {job.cancelled_by or 'nobody'}, with partial text"
            yield Violation(Promise.CHARGE, text, job.id)


def shown_text_is_stored(evidence: Evidence) -> Iterator[Violation]:
    """What a reader had on the screen when the user's cancellation ended the call is not free.

    Text of an earlier run or of an earlier call of the run is: its retry replaced it. So is what a
    worker could not know of, and what a switch or a deploy ended in that moment.
    """
    for job in evidence.jobs:
        call = _ended_by_its_user(evidence, job)
        if call is None or call.state == "failed":
            continue
        calls = evidence.attempts_of[job.id]
        if sum(other.epoch == job.epoch for other in calls) != 1:
            continue
        for text in _on_the_screen(evidence, job):
            if not job.partial_text.startswith(text[: max(0, len(text) - UNDER_WAY)]):
                said = f"{len(text)} characters were on the screen"
                said += f", {len(job.partial_text)} are stored"
                yield Violation(Promise.CHARGE, said, job.id, call.id)


def own_spend_is_what_the_user_caused(evidence: Evidence) -> Iterator[Violation]:
    """Settled calls and those that the user's cancellation ended count towards the user's cap."""
    for attempt in evidence.attempts:
        job = evidence.job_by_id.get(attempt.job)
        if job is None:  # another check finds it
            continue
        if attempt.state == "settled":
            right = attempt.own_spend or not attempt.cost_micro
        elif attempt.own_spend:
            right = attempt.state in UNSURE and job.cancelled_by == USER
            right = right and attempt.error_code != LOST
        else:
            right = attempt.state not in UNSURE or _ended_by_its_user(evidence, job) != attempt
        if not right:
            verb = "counts" if attempt.own_spend else "does not count"
            text = f"{attempt.state} ({attempt.error_code or 'no error'}) {verb} as own spend"
            yield Violation(Promise.CHARGE, text, attempt.job, attempt.id)


def own_spend_keeps_its_cap(evidence: Evidence) -> Iterator[Violation]:
    """No user's spend ever passes the spend cap."""
    for window in evidence.windows:
        if window.own_over_micro is not None and window.own_over_micro > 0:
            text = f"own spend of {window.scope} {window.key}: {window.own_over_micro} above"
            yield Violation(Promise.OVERSHOOT, text)


def _ended_by_its_user(evidence: Evidence, job: Job) -> Attempt | None:
    """The call that ended in the transaction in which the user's cancellation ended the job."""
    if job.cancelled_by != USER:
        return None
    changes = evidence.changes_of.get(job.id, [])
    ends = {c.tx for c in changes if c.thing == "job" and c.state == "cancelled"}
    closed = {c.id for c in changes if c.thing == "attempt" and c.old_state and c.tx in ends}
    call = last_call(evidence, job)
    if call is None or call.id not in closed or call.error_code != ABORTED:
        return None
    return None if _has_another_cause(evidence, call) else call


def _on_the_screen(evidence: Evidence, job: Job) -> Iterator[str]:
    """The texts of the job's last run that its readers had in the end."""
    for entry in evidence.entries_of.get(job.id, []):
        epochs = [int(event_id.partition("-")[0]) for event_id in entry.ids]
        if entry.deed == "streamed" and entry.text and job.epoch in epochs:
            yield entry.text


def _has_another_cause(evidence: Evidence, call: Attempt) -> bool:
    ended_at = call.ended_at if call.ended_at is not None else float("inf")
    return any(
        fault.kind in OTHER_CAUSES
        and fault.begun <= ended_at
        and call.started_at <= (fault.ended or ended_at) + AFTER_S
        for fault in evidence.faults
    )


CHECKS: Final = (
    delivered_text_is_charged,
    only_a_cancelled_job_has_partial_text,
    shown_text_is_stored,
    own_spend_is_what_the_user_caused,
    own_spend_keeps_its_cap,
)
