"""Cancellation: a user who cancels is charged for the delivered text, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.evidence import Attempt, Evidence, Job
from tests.chaos.plan import POSTGRES_AWAY, REDIS_AWAY, SWITCHES, Kind

USER: Final = "user"
ABORTED: Final = "cancelled"
"""Error code of a call that its worker ended."""

LOST: Final = "lease_lost"
"""Error code of a call whose worker was lost."""

UNSURE: Final = frozenset({"estimated", "unknown"})

UNACKNOWLEDGED: Final = 80
"""Characters of two writes. Readers may have text that Redis has not acknowledged to the worker."""

OTHER_CAUSES: Final = (
    REDIS_AWAY | POSTGRES_AWAY | SWITCHES | {Kind.VALKEY_FLUSH, Kind.ROLLING_RESTART}
)
"""Faults in which a worker cannot read the text in Redis, or ends the call itself."""

AFTER_S: Final = 3.0
"""Seconds after such a fault in which it may still have effects."""


def last_call(evidence: Evidence, job: Job) -> Attempt | None:
    """Return the call with the highest number."""
    calls = evidence.attempts_of.get(job.id, [])
    return max(calls, key=lambda attempt: attempt.number, default=None)


@check
def delivered_text_is_charged(evidence: Evidence) -> Iterator[Violation]:
    """A job that its user cancelled is charged for its stored text, at most the ledger's spend.

    Text of an earlier run is free. Text of an earlier call of the run may be free.
    """
    for job in evidence.jobs:
        if job.status == "succeeded":
            continue
        if not (job.cancelled_by == USER and job.partial_text):
            if job.charge_micro:
                text = f"{_end(job)}, no text is stored, charged {job.charge_micro}"
                yield Violation(Promise.CHARGE, text, job.id)
            continue
        call = last_call(evidence, job)
        counted = call.spend_micro if call is not None and call.epoch == job.epoch else 0
        is_alone = len(evidence.attempts_of.get(job.id, ())) == 1
        least = 1 if call is not None and call.epoch == job.epoch and is_alone else 0
        if not least <= job.charge_micro <= counted:
            text = f"{len(job.partial_text)} characters were delivered, charged {job.charge_micro},"
            yield Violation(Promise.CHARGE, f"{text} the ledger counts {counted}", job.id)


@check
def only_a_cancelled_job_has_partial_text(evidence: Evidence) -> Iterator[Violation]:
    """Text without a result is stored only if the user cancelled the job."""
    for job in evidence.jobs:
        if job.partial_text and (job.status, job.cancelled_by) != ("cancelled", USER):
            yield Violation(Promise.CHARGE, f"{_end(job)}, with partial text", job.id)


@check
def shown_text_is_stored(evidence: Evidence) -> Iterator[Violation]:
    """Text that was on a screen when the user's cancellation ended the call is stored and charged.

    Exceptions are text of an earlier run or call, which a retry replaced, text that the worker
    could not read, and a call that a switch or a deploy ended at the same time.
    """
    for job in evidence.jobs:
        call = _ended_by_its_user(evidence, job)
        if call is None or call.state == "failed":
            continue
        calls = evidence.attempts_of[job.id]
        if sum(other.epoch == job.epoch for other in calls) != 1:
            continue
        for shown in _on_the_screen(evidence, job):
            if not job.partial_text.startswith(shown[: max(0, len(shown) - UNACKNOWLEDGED)]):
                text = f"{len(shown)} characters were on the screen,"
                text += f" {len(job.partial_text)} are stored"
                yield Violation(Promise.CHARGE, text, job.id, call.id)


@check
def own_spend_is_what_the_user_caused(evidence: Evidence) -> Iterator[Violation]:
    """Settled calls and calls that the user's cancellation ended are the user's own spend."""
    for attempt in evidence.attempts:
        job = evidence.job_by_id.get(attempt.job)
        if job is None:  # `ledger` checks it
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


@check
def own_spend_stays_below_its_cap(evidence: Evidence) -> Iterator[Violation]:
    """No user's own spend is ever above its cap."""
    for window in evidence.windows:
        if window.own_over_micro is not None and window.own_over_micro > 0:
            text = f"own spend of {window.scope} {window.key}: {window.own_over_micro} above"
            yield Violation(Promise.OVERSHOOT, text)


def _end(job: Job) -> str:
    return f"{job.status} by {job.cancelled_by or 'no author'}"


def _ended_by_its_user(evidence: Evidence, job: Job) -> Attempt | None:
    """Return the call that the user's cancellation ended, in the transaction that ended the job."""
    if job.cancelled_by != USER:
        return None
    changes = evidence.changes_of.get(job.id, [])
    ends = {c.tx for c in changes if c.thing == "job" and c.state == "cancelled"}
    closed = {c.id for c in changes if c.thing == "attempt" and c.old_state and c.tx in ends}
    call = last_call(evidence, job)
    if call is None or call.id not in closed or call.error_code != ABORTED:
        return None
    ended_at = float("inf") if call.ended_at is None else call.ended_at
    other_causes = evidence.faults_during(OTHER_CAUSES, call.started_at, ended_at, AFTER_S)
    return None if other_causes else call


def _on_the_screen(evidence: Evidence, job: Job) -> Iterator[str]:
    """Yield the last text on the screen of each reader of the job's last run."""
    for entry in evidence.requests_of.get(job.id, []):
        epochs = [int(event_id.partition("-")[0]) for event_id in entry.ids]
        if entry.action == "streamed" and entry.text and job.epoch in epochs:
            yield entry.text
