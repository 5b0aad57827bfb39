"""Decisions on jobs whose call was not sent or not answered."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import Final

from aifeature.models.transitions import AttemptRefusedError, FencedError, Settlement
from aifeature.policies.budget import SPENT_BY_USER
from aifeature.reasons import AFTER_WAITING, FailureCode, WaitReason, after_waiting
from aifeature.services.execution import lease
from aifeature.services.execution.outcomes import CancelledByUser, Failed, Outcome, Requeue
from aifeature.services.provider import account
from workers import retry
from workers.inference import Cancelled, Deferred, InferenceError, errors

logger = logging.getLogger(__name__)

HOLD_S: Final = 2.0
"""Seconds until a job is retried that a kill switch or reservations of other jobs block."""

BUSY_S: Final = 0.5
"""Seconds until a job is retried whose user has the maximum of calls in flight."""

DEFERRED: Final = MappingProxyType(
    {
        "user_tokens": WaitReason.USER_TOKENS,
        "provider_limit": WaitReason.PROVIDER_LIMITED,
        "breaker": WaitReason.PROVIDER_PAUSED,
        "account": WaitReason.PROVIDER_ACCOUNT,
    }
)
"""Wait reason of a deferred job, by the gate's reason."""

UNUSABLE: Final = MappingProxyType(
    {
        errors.Refused.code: FailureCode.ANSWER_REFUSED,
        errors.AnswerTruncated.code: FailureCode.ANSWER_CUT_OFF,
        errors.ContextExceeded.code: FailureCode.ANSWER_CUT_OFF,
        errors.AnswerEmpty.code: FailureCode.ANSWER_EMPTY,
    }
)
"""Failure of a job by the error of its last model."""

BOOKED: Final = frozenset(DEFERRED.values()) - {WaitReason.PROVIDER_ACCOUNT}
"""Wait reasons of jobs for which the gate reserves a time to return."""


def decided(decision: retry.Decision, settlement: Settlement | None) -> Outcome:
    """Return the outcome for a retry decision."""
    match decision:
        case retry.RetryIn(delay_s, counts_as_try):
            return Requeue(
                delay_s,
                counts_as_try=counts_as_try,
                reason=WaitReason.PROVIDER_WAITING,
                settlement=settlement,
            )
        case retry.GiveUp(code):
            return Failed(FailureCode(code), settlement)


def unusable(error: InferenceError) -> FailureCode:
    """Return how a job fails whose last model of the route ended with this error."""
    return UNUSABLE.get(error.code, FailureCode.OUTPUT_INVALID)


def provider_failed(outcome: Outcome) -> bool:
    """Return whether the run ended as in an outage of the provider."""
    match outcome:
        case Requeue(reason=reason):
            return reason is WaitReason.PROVIDER_WAITING
        case Failed(code):
            return code is FailureCode.PROVIDER_UNAVAILABLE
        case _:
            return False


def is_outage(outcome: Outcome) -> bool:
    """Return whether a run ended because the provider is down, and not for a moment only."""
    match outcome:
        case Requeue(reason=reason):
            return reason in {WaitReason.PROVIDER_PAUSED, WaitReason.PROVIDER_ACCOUNT}
        case Failed(code):
            return code is FailureCode.PROVIDER_UNAVAILABLE
        case _:
            return False


def within_tries(outcome: Outcome, *, tries: int, max_tries: int) -> Outcome:
    """Fail a job on its last try instead of requeueing: its next run would send nothing."""
    match outcome:
        case Requeue(counts_as_try=True, reason=reason, settlement=settlement) if (
            tries + 1 >= max_tries
        ):
            ended = AFTER_WAITING.get(reason)
            return outcome if ended is None else Failed(ended, settlement)
        case _:
            return outcome


def after_abort(error: Cancelled, settlement: Settlement | None) -> Outcome:
    """Return the outcome of a call that we aborted. It counts neither as a failure nor as a try.

    Without a settlement, a probe was aborted and no call of the job was sent.
    """
    match error.reason:
        case lease.USER:
            return CancelledByUser(settlement)
        case lease.PAUSED:
            return Requeue(
                HOLD_S, counts_as_try=False, reason=WaitReason.FEATURE_PAUSED, settlement=settlement
            )
        case lease.STOPPING:
            return Requeue(
                0.0, counts_as_try=False, reason=WaitReason.INTERRUPTED, settlement=settlement
            )
        case _:
            raise FencedError


def after_refusal(refused: AttemptRefusedError, *, paid: bool, waited_for: str) -> Outcome:
    """Return the outcome of a run whose call the database refused. No call was sent.

    `paid` is as in `after_deferral`. `waited_for` is the job's last wait reason, empty on its first
    run.
    """
    match refused.verdict:
        case "cancelled":
            return CancelledByUser()
        case "deadline":
            return Failed(after_waiting(waited_for))
        case "budget_spent":
            return Failed(SPENT_BY_USER.get(refused.scope, FailureCode.BUDGET_SPENT))
        case "budget_held":
            return Requeue(HOLD_S, counts_as_try=paid, reason=WaitReason.BUDGET_HELD)
        case "user_busy":
            return Requeue(BUSY_S, counts_as_try=paid, reason=WaitReason.USER_BUSY)
        case "paused":
            return Requeue(HOLD_S, counts_as_try=False, reason=WaitReason.FEATURE_PAUSED)
        case verdict:
            raise AssertionError(f"aif_begin_attempt returned {verdict!r}")


def after_suspicion(finding: account.Finding, error: InferenceError, *, paid: bool) -> Outcome:
    """Return the outcome after an error that may concern the whole account.

    `finding` is the result of a probe. `paid` is as in `after_deferral`.
    """
    match finding:
        case "account" | "busy":
            return Requeue(account.BUSY_S, counts_as_try=paid, reason=WaitReason.PROVIDER_ACCOUNT)
        case "unclear":
            # Counts as a try, so that one job cannot cause probes until its deadline.
            return Requeue(account.BUSY_S, counts_as_try=True, reason=WaitReason.PROVIDER_WAITING)
        case _:
            logger.warning("%s concerns the request, not the account", error.code)
            return Failed(FailureCode.PROVIDER_REFUSED)


def after_deferral(
    deferred: Deferred, *, seconds_left: float, least_s: float, paid: bool
) -> Outcome:
    """Requeue a deferred job for the time that the gate assigned, or fail it if that is too late.

    A breaker may close, or the account recover, before that time. So the job returns earlier while
    a call is still possible, which takes at least `least_s` seconds.

    `paid` means that a call of this run may be billed. The next run makes it again, so this run
    counts as a try; otherwise a job could pay for the same call without limit.
    """
    reason, wait_s = DEFERRED[deferred.reason], deferred.wait_s
    latest_s = seconds_left - retry.LAST_TRY_S
    if deferred.reason in {"breaker", "account"}:
        latest_s -= least_s
        wait_s = min(wait_s, max(latest_s - retry.LAST_TRY_S, retry.LAST_TRY_S))
    if wait_s >= latest_s:
        return Failed(after_waiting(reason))
    return Requeue(wait_s, counts_as_try=paid, reason=reason)
