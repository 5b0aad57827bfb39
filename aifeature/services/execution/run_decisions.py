"""What becomes of a job whose call was not sent, or did not end in an answer."""

from __future__ import annotations

import logging
from typing import Final

from aifeature.models.transitions import AttemptRefusedError, FencedError, Settlement
from aifeature.services.execution import lease
from aifeature.services.execution.outcomes import CancelledByUser, Failed, Later, Outcome
from aifeature.services.provider import account
from aifeature.services.texts import DEFERRED, FAILED_AFTER_WAITING, SPENT
from workers import retry
from workers.inference import Cancelled, Deferred, InferenceError

logger = logging.getLogger(__name__)

HOLD_S: Final = 2.0
"""Seconds until a job is looked at again that a switch or other jobs' reservations hold up."""

BUSY_S: Final = 0.5
"""Seconds until a job is looked at again whose user has as many calls under way as may be."""

BOOKED: Final = frozenset(DEFERRED.values()) - {"provider_account"}
"""Codes of jobs that come back at a moment which the gate keeps for them."""


def decided(decision: retry.Decision, settlement: Settlement | None) -> Outcome:
    """A decision on a retry as the run's outcome."""
    match decision:
        case retry.RetryIn(delay_s, burn):
            return Later(delay_s, burn=burn, code="provider_waiting", settlement=settlement)
        case retry.GiveUp(code):
            return Failed(code, settlement)


def provider_failed(outcome: Outcome) -> bool:
    """Whether the run ended as those do that an outage of the provider ends."""
    return getattr(outcome, "code", "") in {"provider_waiting", "provider_unavailable"}


def within_tries(outcome: Outcome, *, tries: int, max_tries: int) -> Outcome:
    """Let a job fail at its last try by what it would wait for: its next run would send nothing."""
    match outcome:
        case Later(burn=True, code=code, settlement=settlement) if tries + 1 >= max_tries:
            ended = FAILED_AFTER_WAITING.get(code)
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
            return Later(HOLD_S, burn=False, code="feature_paused", settlement=settlement)
        case lease.STOPPING:
            return Later(0.0, burn=False, code="interrupted", settlement=settlement)
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
            return Failed(FAILED_AFTER_WAITING.get(waited_for, "deadline_exceeded"))
        case "budget_spent":
            return Failed(SPENT.get(refused.scope, "budget_spent"))
        case "budget_held":
            return Later(HOLD_S, burn=paid, code="budget_held")
        case "user_busy":
            return Later(BUSY_S, burn=paid, code="user_busy")
        case "paused":
            return Later(HOLD_S, burn=False, code="feature_paused")
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
            return Later(account.BUSY_S, burn=paid, code="provider_account")
        case "unclear":
            # Counts as a try, so that a job cannot cause probes until its deadline.
            return Later(account.BUSY_S, burn=True, code="provider_waiting")
        case _:
            logger.warning("%s is about the request, not the account", error.code)
            return Failed("provider_refused")


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
    code, wait_s = DEFERRED[deferred.reason], deferred.wait_s
    latest_s = seconds_left - retry.LAST_TRY_S
    if deferred.reason in {"breaker", "account"}:
        latest_s -= least_s
        wait_s = min(wait_s, max(latest_s - retry.LAST_TRY_S, retry.LAST_TRY_S))
    if wait_s >= latest_s:
        return Failed(FAILED_AFTER_WAITING[code])
    return Later(wait_s, burn=paid, code=code)
