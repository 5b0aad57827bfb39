"""Money: one charge for each result, windows that equal the ledger, and caps that hold."""

from __future__ import annotations

from collections.abc import Iterator

from tests import books
from tests.chaos.checks.violation import Promise, Violation, check
from tests.chaos.evidence import Attempt, Evidence, Job


def accepted_attempt(job: Job, attempts: list[Attempt]) -> Attempt | None:
    """Return the call whose answer is the result: the last one of the epoch that ended the job."""
    if job.status != "succeeded":
        return None
    ours = [attempt for attempt in attempts if attempt.epoch == job.epoch]
    last = max(ours, key=lambda attempt: attempt.number, default=None)
    return last if last is not None and last.state == "settled" else None


@check
def one_charge_for_each_result(evidence: Evidence) -> Iterator[Violation]:
    """The charge of a job that succeeded is the cost of its accepted call.

    `cancelled` checks the charges of jobs that their users cancelled.
    """
    for job in evidence.jobs:
        accepted = accepted_attempt(job, evidence.attempts_of.get(job.id, []))
        if job.status == "succeeded" and accepted is None:
            text = f"no settled call of epoch {job.epoch} gave its result"
            yield Violation(Promise.STALE, text, job.id)
        elif accepted is not None:
            if job.charge_micro != accepted.cost_micro:
                text = f"charged {job.charge_micro}, its call cost {accepted.cost_micro}"
                yield Violation(Promise.DOUBLED, text, job.id, accepted.id)
            tokens = (accepted.input_tokens, accepted.output_tokens)
            if (job.input_tokens, job.output_tokens) != tokens:
                yield Violation(Promise.LEDGER, "its tokens are another call's", job.id)
        elif job.charge_micro and job.cancelled_by != "user":
            text = f"{job.status}, but charged {job.charge_micro}"
            yield Violation(Promise.DOUBLED, text, job.id)


@check
def every_call_is_closed(evidence: Evidence) -> Iterator[Violation]:
    """No ledger row is open at the end, and each job has the right number of calls."""
    for attempt in evidence.attempts:
        if attempt.state == "started":
            yield Violation(Promise.LEDGER, "left open", attempt.job, attempt.id)
        if attempt.job not in evidence.job_by_id and attempt.purpose != "probe":
            yield Violation(Promise.LEDGER, "of no job", attempt.job, attempt.id)
    for job in evidence.jobs:
        if job.attempts != (count := len(evidence.attempts_of.get(job.id, []))):
            text = f"counts {job.attempts} calls, the ledger has {count}"
            yield Violation(Promise.LEDGER, text, job.id)


def differences(evidence: Evidence) -> dict[books.Key, int]:
    """Return the micro-dollars by which the spend of wrong windows differs from the ledger."""
    found = books.differences(evidence.jobs, evidence.attempts, evidence.windows)
    return {key: off.spent for key, off in found.items() if off.spent}


@check
def windows_equal_the_ledger(evidence: Evidence) -> Iterator[Violation]:
    """Each figure of a window is the sum of the ledger."""
    for key, off in books.differences(evidence.jobs, evidence.attempts, evidence.windows).items():
        for name, micro in (("", off.spent), ("held of ", off.held), ("own spend of ", off.own)):
            if micro:
                text = f"{name}window {key} differs by {micro} micro-dollars"
                yield Violation(Promise.LEDGER, text)


def leaked_micro(evidence: Evidence) -> int:
    """Return the micro-dollars that are still reserved after the last call."""
    return sum(abs(window.held_micro) for window in evidence.windows)


@check
def nothing_leaked(evidence: Evidence) -> Iterator[Violation]:
    """Each reservation was returned."""
    for window in evidence.windows:
        if window.held_micro:
            text = f"window {window.scope} {window.key} still holds {window.held_micro}"
            yield Violation(Promise.LEAK, text)


@check
def reconciler_finds_nothing(evidence: Evidence) -> Iterator[Violation]:
    """The reconciler finds no drift after the run, and opened no alert during it."""
    for drift in evidence.drifts:
        yield Violation(Promise.LEAK, f"the reconciler finds {drift}")
    for alert in evidence.alerts:
        if alert.kind == "drift":
            yield Violation(Promise.LEAK, f"the reconciler found: {alert.summary}")


def overshoot_micro(evidence: Evidence) -> int:
    """Return the sum of the micro-dollars by which windows were above their caps at most."""
    return sum(max(0, window.over_micro) for window in evidence.windows)


@check
def caps_hold(evidence: Evidence) -> Iterator[Violation]:
    """The sum of spent and held was never above the cap of that time."""
    for window in evidence.windows:
        if window.scope == "account":  # only its own spend has a cap
            continue
        if window.cap_micro is None:
            text = f"{window.scope} {window.key} had no cap, so this run cannot test one"
            yield Violation(Promise.RUN, text)
        elif window.over_micro > 0:
            text = f"{window.scope} {window.key}: {window.over_micro} above its cap"
            yield Violation(Promise.OVERSHOOT, text)


@check
def no_call_cost_more_than_its_bound(evidence: Evidence) -> Iterator[Violation]:
    """The reservation of a call is at least its cost."""
    for attempt in evidence.attempts:
        if attempt.cost_micro > attempt.bound_micro:
            text = f"cost {attempt.cost_micro}, reserved {attempt.bound_micro}"
            yield Violation(Promise.OVERSHOOT, text, attempt.job, attempt.id)
