"""What becomes of a job whose call was not sent, or did not end in an answer."""

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
from workers.inference import Cancelled, Deferred, InferenceError

logger = logging.getLogger(__name__)

HOLD_S: Final = 2.0
"""Seconds until a job is looked at again that a switch or other jobs' reservations hold up."""

BUSY_S: Final = 0.5
"""Seconds until a job is looked at again whose user has as many calls under way as may be."""

DEFERRED: Final = MappingProxyType(
    {
        "user_tokens": WaitReason.USER_TOKENS,
        "provider_limit": WaitReason.PROVIDER_LIMITED,
        "breaker": WaitReason.PROVIDER_PAUSED,
        "account": WaitReason.PROVIDER_ACCOUNT,
    }
)
"""What a job waits for that the gate let not be sent, by the gate's reason."""

BOOKED: Final = frozenset(DEFERRED.values()) - {WaitReason.PROVIDER_ACCOUNT}
"""Reasons of jobs that come back at a moment which the gate keeps for them."""


def decided(decision: retry.Decision, settlement: Settlement | None) -> Outcome:
    """A decision on a retry as the run's outcome."""
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


def provider_failed(outcome: Outcome) -> bool:
    """Whether the run ended as those do that an outage of the provider ends."""
    match outcome:
        case Requeue(reason=reason):
            return reason is WaitReason.PROVIDER_WAITING
        case Failed(code):
            return code is FailureCode.PROVIDER_UNAVAILABLE
        case _:
            return False


def within_tries(outcome: Outcome, *, tries: int, max_tries: int) -> Outcome:
    """Let a job fail at its last try by what it would wait for: its next run would send nothing."""
    match outcome:
        case Requeue(counts_as_try=True, reason=reason, settlement=settlement) if (
            tries + 1 >= max_tries
        ):
            ended = AFTER_WAITING.get(reason)
            return outcome if ended is None else Failed(ended, settlement)
        case _:
            return outcome


def after_abort(error: Cancelled, settlement: Settlement | None) -> Outcome:
    """We stopped the call ourselves: that is no failure of the provider and burns no try.

    Without a settlement it was a probe, and nothing of the job was sent.
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
    """No call was sent, since the ledger or the job's time had no room for one.

    Args:
        refused: The verdict.
        paid: As in `after_deferral`.
        waited_for: Code of what sent the job back to the queue last; empty on its first run.
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
            raise AssertionError(f"aif_begin_attempt answered {verdict!r}")


def after_suspicion(finding: account.Finding, error: InferenceError, *, paid: bool) -> Outcome:
    """What becomes of a job whose call failed with an error that may be the account's.

    Args:
        finding: What a probe found.
        error: Of the call, which is settled.
        paid: As in `after_deferral`.
    """
    match finding:
        case "account" | "busy":
            return Requeue(account.BUSY_S, counts_as_try=paid, reason=WaitReason.PROVIDER_ACCOUNT)
        case "unclear":
            # Counts as a try, so that a job cannot cause probes until its deadline.
            return Requeue(account.BUSY_S, counts_as_try=True, reason=WaitReason.PROVIDER_WAITING)
        case _:
            logger.warning("%s is about the request, not the account", error.code)
            return Failed(FailureCode.PROVIDER_REFUSED)


def after_deferral(
    deferred: Deferred, *, seconds_left: float, least_s: float, paid: bool
) -> Outcome:
    """Back at the moment it fits; a job whose deadline comes before that ends now.

    A breaker may close, and the account be well, long before the moment that the job was told: it
    looks once more when there is just time for a call.

    Args:
        deferred: What the gate said.
        seconds_left: Until the job's deadline.
        least_s: Seconds without which no call is begun.
        paid: A call of this run was answered before, and will be made anew: the run counts as a
            try, so that a job cannot pay for the same call without end.
    """
    reason, wait_s = DEFERRED[deferred.reason], deferred.wait_s
    latest_s = seconds_left - retry.LAST_TRY_S
    if deferred.reason in {"breaker", "account"}:
        latest_s -= least_s
        wait_s = min(wait_s, max(latest_s - retry.LAST_TRY_S, retry.LAST_TRY_S))
    if wait_s >= latest_s:
        return Failed(after_waiting(reason))
    return Requeue(wait_s, counts_as_try=paid, reason=reason)
