"""Money: one result, one charge; the windows are the sum of the ledger; no cap was exceeded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests import books
from tests.chaos.checks.violation import Promise, Violation
from tests.chaos.evidence import Attempt, Evidence, Job


def accepted_attempt(job: Job, attempts: list[Attempt]) -> Attempt | None:
    """The call whose answer became the result: the last of the epoch that finished the job."""
    if job.status != "succeeded":
        return None
    ours = [attempt for attempt in attempts if attempt.epoch == job.epoch]
    last = max(ours, key=lambda attempt: attempt.number, default=None)
    return last if last is not None and last.state == "settled" else None


def one_result_one_charge(evidence: Evidence) -> Iterator[Violation]:
    """A job that succeeded was charged what its accepted call cost, and once.

    What one that its user cancelled is charged for, `cancelled` checks.
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
            if (job.input_tokens, job.output_tokens) != (
                accepted.input_tokens,
                accepted.output_tokens,
            ):
                yield Violation(Promise.LEDGER, "its tokens are another call's", job.id)
        elif job.charge_micro and job.cancelled_by != "user":
            text = f"{job.status}, yet charged {job.charge_micro}"
            yield Violation(Promise.DOUBLED, text, job.id)


def every_call_is_closed(evidence: Evidence) -> Iterator[Violation]:
    """No ledger row is left open, and each job knows how many it has."""
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


def windows_equal_the_ledger(evidence: Evidence) -> Iterator[Violation]:
    """Each figure of a window is the sum of the ledger."""
    for key, off in books.differences(evidence.jobs, evidence.attempts, evidence.windows).items():
        for name, micro in (("", off.spent), ("held of ", off.held), ("own spend of ", off.own)):
            if micro:
                text = f"{name}window {key} differs by {micro} micro-dollars"
                yield Violation(Promise.LEDGER, text)


def leaked_micro(evidence: Evidence) -> int:
    """What is still held when nothing is under way any more."""
    return sum(abs(window.held_micro) for window in evidence.windows)


def nothing_leaked(evidence: Evidence) -> Iterator[Violation]:
    """Each reservation was given back."""
    for window in evidence.windows:
        if window.held_micro:
            text = f"window {window.scope} {window.key} still holds {window.held_micro}"
            yield Violation(Promise.LEAK, text)


def the_reconciler_finds_nothing(evidence: Evidence) -> Iterator[Violation]:
    """Neither now nor, as its alert would tell, while the run was on."""
    for drift in evidence.drifts:
        yield Violation(Promise.LEAK, f"the reconciler finds {drift}")
    for alert in evidence.alerts:
        if alert.kind == "drift":
            yield Violation(Promise.LEAK, f"the reconciler found: {alert.summary}")


def overshoot_micro(evidence: Evidence) -> int:
    """By how much caps were exceeded at any time, in all."""
    return sum(max(0, window.over_micro) for window in evidence.windows)


def caps_were_kept(evidence: Evidence) -> Iterator[Violation]:
    """What was spent and held together never went over the cap of that moment."""
    for window in evidence.windows:
        if window.scope == "account":  # only its own spend has a cap
            continue
        if window.cap_micro is None:
            text = f"{window.scope} {window.key} had no cap, so this run proves nothing of it"
            yield Violation(Promise.RUN, text)
        elif window.over_micro > 0:
            text = f"{window.scope} {window.key}: {window.over_micro} above its cap"
            yield Violation(Promise.OVERSHOOT, text)


def no_call_cost_more_than_its_bound(evidence: Evidence) -> Iterator[Violation]:
    """What is reserved for a call is the most it can cost."""
    for attempt in evidence.attempts:
        if attempt.cost_micro > attempt.bound_micro:
            text = f"cost {attempt.cost_micro}, reserved {attempt.bound_micro}"
            yield Violation(Promise.OVERSHOOT, text, attempt.job, attempt.id)


CHECKS: Final = (
    one_result_one_charge,
    every_call_is_closed,
    windows_equal_the_ledger,
    nothing_leaked,
    the_reconciler_finds_nothing,
    caps_were_kept,
    no_call_cost_more_than_its_bound,
)
