"""The kill switch: how soon all stops, what becomes of the jobs, and that it harms nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aifeature import registry
from aifeature.services.texts import CANCELLED_BY_SWITCH, CANCELLED_BY_USER
from tests.chaos.checks.violation import Promise, Violation
from tests.chaos.evidence import TERMINAL, Attempt, Call, Evidence, Job
from tests.chaos.flips import FOR_EVER, Flip
from tests.chaos.injector import Done
from tests.chaos.plan import (
    LLM_WORKERS,
    POSTGRES_AWAY,
    PROVIDER_AWAY,
    REDIS_AWAY,
    STORMS,
    Kind,
)
from tests.chaos.scenario import FEATURE
from workers.inference.breaker import BreakerPolicy

PROMISED_S: Final = 1.0
WITHOUT_REDIS_S: Final = 2.0
"""Within so many seconds of a flip no call is under way."""

ACCEPTED_S: Final = 1.0
"""So long after a flip a request that came before it may still be accepted."""

CANCELS_S: Final = 5.0
"""Within so many seconds jobs that wait are cancelled, a batch at a time."""

LEAST_CALL_S: Final = 30.0
"""As in `execution/job_run.py`, which needs settings: with less time no call is begun."""

AFTERMATH_S: Final = 6.0
"""So long after an outage of the database its connections are made anew."""

GIVEN_UP_S: Final = 25.0
"""So long after packets to the provider were lost a connection is given up."""

ASLEEP: Final = frozenset({Kind.LLM_STOP})
WEB_SLEEPS: Final = frozenset({Kind.WEB_STOP, Kind.WEB_CHILD_STOP})
CANCELLED: Final = frozenset({CANCELLED_BY_SWITCH, CANCELLED_BY_USER})


def stops_within_s(evidence: Evidence, fault: Done, flip: Flip) -> float:
    """How soon after this flip nothing may be under way any more."""
    away = _during(evidence, REDIS_AWAY, fault.begun, flip.stopped_at + WITHOUT_REDIS_S, 2.0)
    return WITHOUT_REDIS_S if away else PROMISED_S


def nothing_is_sent_while_stopped(evidence: Evidence) -> Iterator[Violation]:
    """No call arrives at the provider, and none is under way, once the promised time is over."""
    attempts = {attempt.id: attempt for attempt in evidence.attempts}
    for fault, flip in evidence.flips:
        quiet_from = flip.stopped_at + stops_within_s(evidence, fault, flip)
        for call in evidence.calls:
            attempt = attempts.get(call.attempt_id or "")
            if attempt is None:  # another check tells of it
                continue
            if call.started_at <= quiet_from:
                flown = call.ended_at is None or call.ended_at > quiet_from
                text = "a call is still under way"
            else:
                flown = call.started_at < flip.stops_until(attempt.user_id)
                text = f"a call begins {call.started_at - flip.stopped_at:.2f} s after it"
            if flown and not _unreachable(evidence, flip, attempt, quiet_from):
                ended = (call.ended_at or FOR_EVER) - flip.stopped_at
                text = f"{_named(fault)}: {text}, ends {ended:.2f} s after it"
                yield Violation(Promise.SWITCH, text, attempt.job, attempt.id)


def nothing_is_accepted_while_stopped(evidence: Evidence) -> Iterator[Violation]:
    """No job is made a second after the flip, of users for whom it is on."""
    for fault, flip in evidence.flips:
        late_from = flip.stopped_at + ACCEPTED_S
        for job in evidence.jobs:
            if not late_from < job.created_at < flip.stops_until(job.user_id):
                continue
            asleep = WEB_SLEEPS | POSTGRES_AWAY
            if not _during(evidence, asleep, flip.asked_at - 1.0, job.created_at, AFTERMATH_S):
                text = f"accepted {job.created_at - flip.stopped_at:.2f} s after"
                yield Violation(Promise.SWITCH, f"{text} {_named(fault)}", job.id)


def cancelled_jobs_say_so(evidence: Evidence) -> Iterator[Violation]:
    """What waited or ran when a switch was pulled with `cancel` ended so, with the sentence."""
    for fault, flip in evidence.flips:
        if not flip.cancels:
            continue
        in_time = flip.stopped_at + stops_within_s(evidence, fault, flip)
        for job in evidence.jobs:
            if not _open_at(job, flip.stopped_at):
                continue
            if job.status == "cancelled":
                if job.error_message not in CANCELLED:
                    text = f"cancelled by {_named(fault)}, told {job.error_message!r}"
                    yield Violation(Promise.SWITCH, text, job.id)
            elif not (
                _ended_by(job, in_time)
                or _answered_by(evidence, job, in_time)
                or _deadline_came_first(evidence, job, flip)
            ):
                text = f"{job.status}, though {_named(fault)} was to cancel it"
                yield Violation(Promise.SWITCH, text, job.id)


def a_flip_burns_no_try(evidence: Evidence) -> Iterator[Violation]:
    """A call that we aborted ourselves does not count towards the cap of tries."""
    aborted = {attempt.id for attempt in evidence.attempts if attempt.error_code == "cancelled"}
    for job, changes in evidence.changes_of.items():
        closed = {change.tx for change in changes if change.id in aborted and change.old_state}
        for change in changes:
            if change.thing == "job" and change.tx in closed and "tries" in change.changed:
                text = f"our own abort counts as a try (change {change.seq})"
                yield Violation(Promise.SWITCH, text, job)


def a_flip_opens_no_breaker(evidence: Evidence) -> Iterator[Violation]:
    """A breaker opens because of the provider's failures, never because of our aborts."""
    failures = PROVIDER_AWAY | (STORMS - {Kind.RATE_LIMITED})
    for opened in evidence.breakers:
        # Failures may be older than the call that makes enough of them to judge by.
        ends = sorted(
            attempt.ended_at
            for attempt in evidence.attempts
            if attempt.model == opened.model and attempt.ended_at and attempt.ended_at < opened.at
        )
        since = min([opened.at, *ends[-BreakerPolicy().minimum :]])
        failing = _during(evidence, failures, since, opened.at, GIVEN_UP_S)
        if not failing:
            text = f"{opened.line} at {opened.at:.3f}, and nothing was wrong with the provider"
            yield Violation(Promise.SWITCH, text)


def only_people_flip(evidence: Evidence) -> Iterator[Violation]:
    """No check of ours pulled a switch: nothing in a run is a reason to."""
    for alert in evidence.alerts:
        if alert.kind in {"kill_switch", "overrun"}:
            yield Violation(Promise.SWITCH, f"{alert.kind} of {alert.subject}: {alert.summary}")


def aborted_by_flips(evidence: Evidence) -> int:
    """How many calls a flip ended."""
    return sum(
        attempt.error_code == "cancelled"
        and any(
            flip.asked_at <= (attempt.ended_at or 0.0) <= flip.stopped_at + WITHOUT_REDIS_S
            for _, flip in evidence.flips
        )
        for attempt in evidence.attempts
    )


def _unreachable(evidence: Evidence, flip: Flip, attempt: Attempt, quiet_from: float) -> bool:
    """Whether its worker could not hear of the flip, or the provider not of the abort."""
    since = flip.asked_at - 1.0
    if _during(evidence, POSTGRES_AWAY, since, quiet_from, AFTERMATH_S):
        return True
    if _during(evidence, PROVIDER_AWAY, since, quiet_from, GIVEN_UP_S):
        return True
    worker = _worker_of(evidence, attempt)
    asleep = {fault.target for fault in _present(evidence, ASLEEP, since, quiet_from, 1.0)}
    return worker in asleep & set(LLM_WORKERS)


def _worker_of(evidence: Evidence, attempt: Attempt) -> str:
    for change in evidence.changes_of.get(attempt.job, []):
        if change.thing == "job" and (change.epoch, change.state) == (attempt.epoch, "running"):
            return (change.worker or "").partition("@")[0]
    return ""


def _open_at(job: Job, at: float) -> bool:
    return job.created_at < at and not _ended_by(job, at)


def _ended_by(job: Job, at: float) -> bool:
    return job.status in TERMINAL and job.finished_at is not None and job.finished_at <= at


def _deadline_came_first(evidence: Evidence, job: Job, flip: Flip) -> bool:
    """Whether it waited, and its time was over while such jobs were being cancelled.

    A run that is left with too little time for a call ends its job, at once.
    """
    attempts = evidence.attempts_of.get(job.id, [])
    waited = all((each.ended_at or FOR_EVER) <= flip.stopped_at for each in attempts)
    least = job.created_at + registry.get(FEATURE).limits.deadline_s - LEAST_CALL_S
    out_of_time = job.status == "failed" and least <= (job.finished_at or 0.0)
    return waited and out_of_time and _ended_by(job, flip.stopped_at + CANCELS_S)


def _answered_by(evidence: Evidence, job: Job, at: float) -> bool:
    """Whether its answer had come by then, and was only stored later, since nobody could."""
    calls: list[Call] = [
        call
        for attempt in evidence.attempts_of.get(job.id, [])
        for call in evidence.calls_of.get(attempt.id, [])
    ]
    return job.status == "succeeded" and all((call.ended_at or at + 1) <= at for call in calls)


def _during(
    evidence: Evidence, kinds: frozenset[Kind], since: float, until: float, after_s: float
) -> bool:
    return bool(_present(evidence, kinds, since, until, after_s))


def _present(
    evidence: Evidence,
    kinds: frozenset[Kind] | set[Kind],
    since: float,
    until: float,
    after_s: float,
) -> list[Done]:
    """The faults of these kinds that were on between two moments, or had just been."""
    return [
        fault
        for fault in evidence.faults
        if fault.kind in kinds
        and fault.begun <= until
        and since <= (fault.ended or float("inf")) + after_s
    ]


def _named(fault: Done) -> str:
    return f"{fault.kind} (fault {fault.number})"


CHECKS: Final = (
    nothing_is_sent_while_stopped,
    nothing_is_accepted_while_stopped,
    cancelled_jobs_say_so,
    a_flip_burns_no_try,
    a_flip_opens_no_breaker,
    only_people_flip,
)
