"""The kill switch: calls and submissions stop in time, and nothing else is affected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from aifeature import registry
from aifeature.services.texts import CANCELLED_BY_SWITCH, CANCELLED_BY_USER
from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.evidence import TERMINAL, Attempt, Call, Evidence, Job
from tests.chaos.flips import FOR_EVER, Flip
from tests.chaos.injector import Done
from tests.chaos.plan import (
    LLM_WORKERS,
    POSTGRES_AWAY,
    PROVIDER_AWAY,
    REDIS_AWAY,
    STORMS,
    WEB_FREEZES,
    Kind,
)
from tests.chaos.scenario import FEATURE
from workers.inference.breaker import BreakerPolicy

PROMISED_S: Final = 1.0
WITHOUT_REDIS_S: Final = 2.0
"""Seconds from a stop until no call is in flight."""

ACCEPTED_S: Final = 1.0
"""Seconds after a stop in which an earlier request may still be accepted."""

CANCELS_S: Final = 5.0
"""Seconds in which queued jobs are cancelled, a batch at a time."""

LEAST_CALL_S: Final = 30.0
"""As in `execution/job_run.py`, which needs settings. With less time no call begins."""

AFTERMATH_S: Final = 6.0
"""Seconds after an outage of the database in which connections are made again."""

GIVEN_UP_S: Final = 25.0
"""Seconds after a loss of packets to the provider until a connection ends."""

CANCELLED: Final = frozenset({CANCELLED_BY_SWITCH, CANCELLED_BY_USER})


def stops_within_s(evidence: Evidence, fault: Done, flip: Flip) -> float:
    """Return the seconds from this stop until no call may be in flight."""
    away = evidence.faults_during(REDIS_AWAY, fault.begun, flip.stopped_at + WITHOUT_REDIS_S, 2.0)
    return WITHOUT_REDIS_S if away else PROMISED_S


@check
def nothing_is_sent_while_stopped(evidence: Evidence) -> Iterator[Violation]:
    """After the promised time no call reaches the provider, and none is in flight."""
    attempts = {attempt.id: attempt for attempt in evidence.attempts}
    for fault, flip in evidence.flips:
        quiet_from = flip.stopped_at + stops_within_s(evidence, fault, flip)
        for call in evidence.calls:
            attempt = attempts.get(call.attempt_id or "")
            if attempt is None:  # `provider` checks it
                continue
            if call.started_at <= quiet_from:
                is_late = call.ended_at is None or call.ended_at > quiet_from
                text = "a call is still in flight"
            else:
                is_late = call.started_at < flip.stops_until(attempt.user_id)
                text = f"a call begins {call.started_at - flip.stopped_at:.2f} s after it"
            if is_late and not _unreachable(evidence, flip, attempt, quiet_from):
                ended = (call.ended_at or FOR_EVER) - flip.stopped_at
                text = f"{_named(fault)}: {text}, ends {ended:.2f} s after it"
                yield Violation(Promise.SWITCH, text, attempt.job, attempt.id)


@check
def nothing_is_accepted_while_stopped(evidence: Evidence) -> Iterator[Violation]:
    """One second after a stop no job of a stopped user is accepted."""
    for fault, flip in evidence.flips:
        late_from = flip.stopped_at + ACCEPTED_S
        for job in evidence.jobs:
            if not late_from < job.created_at < flip.stops_until(job.user_id):
                continue
            delays = WEB_FREEZES | POSTGRES_AWAY
            since = flip.asked_at - 1.0
            if not evidence.faults_during(delays, since, job.created_at, AFTERMATH_S):
                text = f"accepted {job.created_at - flip.stopped_at:.2f} s after"
                yield Violation(Promise.SWITCH, f"{text} {_named(fault)}", job.id)


@check
def cancelled_jobs_have_the_message(evidence: Evidence) -> Iterator[Violation]:
    """A switch with `cancel` cancels queued and running jobs, with the message for the user."""
    for fault, flip in evidence.flips:
        if not flip.cancels:
            continue
        in_time = flip.stopped_at + stops_within_s(evidence, fault, flip)
        for job in evidence.jobs:
            if not _open_at(job, flip.stopped_at):
                continue
            if job.status == "cancelled":
                if job.error_message not in CANCELLED:
                    text = f"cancelled by {_named(fault)}, with the message {job.error_message!r}"
                    yield Violation(Promise.SWITCH, text, job.id)
            elif not (
                _ended_by(job, in_time)
                or _answered_by(evidence, job, _read_by(evidence, flip, job, in_time))
                or _deadline_came_first(evidence, job, flip)
            ):
                text = f"{job.status}, though {_named(fault)} must cancel it"
                yield Violation(Promise.SWITCH, text, job.id)


@check
def flips_use_no_try(evidence: Evidence) -> Iterator[Violation]:
    """A call that a worker aborts for a flip does not count as a try."""
    aborted = {attempt.id for attempt in evidence.attempts if attempt.error_code == "cancelled"}
    for job, changes in evidence.changes_of.items():
        closed = {change.tx for change in changes if change.id in aborted and change.old_state}
        for change in changes:
            if change.thing == "job" and change.tx in closed and "tries" in change.changed:
                text = f"an abort by the switch counts as a try (change {change.seq})"
                yield Violation(Promise.SWITCH, text, job)


@check
def flips_open_no_breaker(evidence: Evidence) -> Iterator[Violation]:
    """A breaker opens because of the provider's failures, never because of aborted calls."""
    failures = PROVIDER_AWAY | (STORMS - {Kind.RATE_LIMITED})
    for opened in evidence.breakers:
        # The breaker needs several failures, so the first may be older than the last call.
        ends = sorted(
            attempt.ended_at
            for attempt in evidence.attempts
            if attempt.model == opened.model and attempt.ended_at and attempt.ended_at < opened.at
        )
        since = min([opened.at, *ends[-BreakerPolicy().minimum :]])
        if not evidence.faults_during(failures, since, opened.at, GIVEN_UP_S):
            text = f"{opened.line} at {opened.at:.3f}, and the provider had no fault"
            yield Violation(Promise.SWITCH, text)


@check
def only_people_flip(evidence: Evidence) -> Iterator[Violation]:
    """No check stops a feature. A run gives it no reason."""
    for alert in evidence.alerts:
        if alert.kind in {"kill_switch", "overrun"}:
            yield Violation(Promise.SWITCH, f"{alert.kind} of {alert.subject}: {alert.summary}")


def aborted_by_flips(evidence: Evidence) -> int:
    """Return the number of calls that a flip ended."""
    return sum(
        attempt.error_code == "cancelled"
        and any(
            flip.asked_at <= (attempt.ended_at or 0.0) <= flip.stopped_at + WITHOUT_REDIS_S
            for _, flip in evidence.flips
        )
        for attempt in evidence.attempts
    )


def _unreachable(evidence: Evidence, flip: Flip, attempt: Attempt, quiet_from: float) -> bool:
    """Return whether a fault kept the flip from the worker, or the abort from the provider."""
    since = flip.asked_at - 1.0
    if _kept_from_worker(evidence, flip, attempt, quiet_from):
        return True
    return bool(evidence.faults_during(PROVIDER_AWAY, since, quiet_from, GIVEN_UP_S))


def _read_by(evidence: Evidence, flip: Flip, job: Job, in_time: float) -> float:
    """Return the time by which the worker of the job's last call has certainly read the flip."""
    return max(
        [in_time]
        + [
            (fault.ended or FOR_EVER) + AFTERMATH_S
            for attempt in evidence.attempts_of.get(job.id, [])[-1:]
            for fault in _kept_from_worker(evidence, flip, attempt, in_time)
        ]
    )


def _kept_from_worker(
    evidence: Evidence, flip: Flip, attempt: Attempt, until: float
) -> Sequence[Done]:
    """Return the faults that kept the flip from the worker of this call."""
    since = flip.asked_at - 1.0
    frozen = evidence.faults_during(frozenset({Kind.LLM_STOP}), since, until, 1.0)
    worker = _worker_of(evidence, attempt)
    return [
        *evidence.faults_during(POSTGRES_AWAY, since, until, AFTERMATH_S),
        *(fault for fault in frozen if fault.target == worker and worker in LLM_WORKERS),
    ]


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
    """Return whether a queued job's deadline came while the switch cancelled queued jobs.

    A run with too little time for a call ends its job immediately.
    """
    attempts = evidence.attempts_of.get(job.id, [])
    waited = all((each.ended_at or FOR_EVER) <= flip.stopped_at for each in attempts)
    least = job.created_at + registry.get(FEATURE).limits.deadline_s - LEAST_CALL_S
    out_of_time = job.status == "failed" and least <= (job.finished_at or 0.0)
    return waited and out_of_time and _ended_by(job, flip.stopped_at + CANCELS_S)


def _answered_by(evidence: Evidence, job: Job, at: float) -> bool:
    """Return whether its last call had ended by then, and only the write was still to come.

    That call decides the outcome: a valid answer, or an error after which the job is not retried.
    """
    attempts = evidence.attempts_of.get(job.id, [])
    calls: list[Call] = [
        call for attempt in attempts for call in evidence.calls_of.get(attempt.id, [])
    ]
    failed = bool(job.error_code) and job.error_code in {each.error_code for each in attempts[-1:]}
    is_decided = job.status == "succeeded" or (job.status == "failed" and failed)
    return is_decided and all((call.ended_at or at + 1) <= at for call in calls)


def _named(fault: Done) -> str:
    return f"{fault.kind} (fault {fault.number})"
