"""Why a job waits and why it failed: the words of Python, SQL, the API and the messages alike."""

from __future__ import annotations

from enum import StrEnum


class WaitReason(StrEnum):
    """Why a job is in the queue after its first run began, or while its feature is paused."""

    BUDGET_HELD = "budget_held"
    """Only what other calls have reserved keeps it from its budget."""
    FEATURE_PAUSED = "feature_paused"
    INTERNAL_ERROR = "internal_error"
    INTERRUPTED = "interrupted"
    """Its worker stopped, or lost the database."""
    PROVIDER_ACCOUNT = "provider_account"
    PROVIDER_LIMITED = "provider_limited"
    """Booked for a moment within the provider's rate limits."""
    PROVIDER_PAUSED = "provider_paused"
    """A circuit breaker is open."""
    PROVIDER_WAITING = "provider_waiting"
    """A call failed and is tried again."""
    USER_BUSY = "user_busy"
    USER_TOKENS = "user_tokens"


class FailureCode(StrEnum):
    """Why a job ended without a result. Stored, shown and part of the API."""

    ACCOUNT_LIMIT = "account_limit"
    ANSWER_GARBLED = "answer_garbled"
    BUDGET_SPENT = "budget_spent"
    CANCELLED = "cancelled"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    FEATURE_PAUSED = "feature_paused"
    FEATURE_REMOVED = "feature_removed"
    INPUT_INVALID = "input_invalid"
    OUTPUT_INVALID = "output_invalid"
    OVERLOADED = "overloaded"
    MAX_TRIES_EXCEEDED = "poison"
    """Its runs were lost or failed as often as a job may be tried."""
    PROVIDER_REFUSED = "provider_refused"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    USER_LIMIT = "user_limit"


AFTER_WAITING: dict[str, FailureCode] = {
    WaitReason.BUDGET_HELD: FailureCode.BUDGET_SPENT,
    WaitReason.FEATURE_PAUSED: FailureCode.FEATURE_PAUSED,
    WaitReason.PROVIDER_ACCOUNT: FailureCode.PROVIDER_UNAVAILABLE,
    WaitReason.PROVIDER_LIMITED: FailureCode.OVERLOADED,
    WaitReason.PROVIDER_PAUSED: FailureCode.PROVIDER_UNAVAILABLE,
    WaitReason.PROVIDER_WAITING: FailureCode.PROVIDER_UNAVAILABLE,
    WaitReason.USER_BUSY: FailureCode.OVERLOADED,
    WaitReason.USER_TOKENS: FailureCode.OVERLOADED,
}
"""The failure of a job whose deadline passed while it waited. DEADLINE_EXCEEDED for all others."""


def after_waiting(reason: str) -> FailureCode:
    """Return the failure of a job whose deadline passed.

    Args:
        reason: What it waited for last: a WaitReason, or empty.
    """
    return AFTER_WAITING.get(reason, FailureCode.DEADLINE_EXCEEDED)
