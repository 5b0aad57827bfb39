"""Wait reasons and failure codes of jobs, shared by Python, SQL, the API and the messages."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class WaitReason(StrEnum):
    """Reason why a job is queued after its first run began, or while its feature is paused."""

    BUDGET_HELD = "budget_held"
    """The budget would have room without the reservations of other calls."""
    FEATURE_PAUSED = "feature_paused"
    INTERNAL_ERROR = "internal_error"
    INTERRUPTED = "interrupted"
    """Its worker stopped, or lost the database."""
    PROVIDER_ACCOUNT = "provider_account"
    PROVIDER_LIMITED = "provider_limited"
    """Booked for a later time within the provider's rate limits."""
    PROVIDER_PAUSED = "provider_paused"
    """A circuit breaker is open."""
    PROVIDER_WAITING = "provider_waiting"
    """A call failed and is retried."""
    USER_BUSY = "user_busy"
    USER_TOKENS = "user_tokens"


class FailureCode(StrEnum):
    """Reason why a job ended without a result. Stored, shown to users and part of the API."""

    ACCOUNT_LIMIT = "account_limit"
    ANSWER_CUT_OFF = "answer_cut_off"
    """No model of the route ended its answer within the length that is allowed."""
    ANSWER_EMPTY = "answer_empty"
    ANSWER_GARBLED = "answer_garbled"
    ANSWER_REFUSED = "answer_refused"
    """Each model of the route declined to answer."""
    ANSWER_UNSAFE = "answer_unsafe"
    """A guard withheld the answer. The message is the feature's own."""
    APPROVAL_EXPIRED = "approval_expired"
    """No person decided about the answer in time."""
    BUDGET_SPENT = "budget_spent"
    CANCELLED = "cancelled"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    FEATURE_BROKEN = "feature_broken"
    """A function of the feature raised or hangs."""
    FEATURE_PAUSED = "feature_paused"
    FEATURE_REMOVED = "feature_removed"
    INPUT_INVALID = "input_invalid"
    INPUT_REFUSED = "input_refused"
    """The input holds the marker of its own fence, so that it could close it."""
    OFF_TOPIC = "off_topic"
    """The answer has almost nothing of the input that it is about."""
    OUTPUT_INVALID = "output_invalid"
    OVERLOADED = "overloaded"
    MAX_TRIES_EXCEEDED = "poison"
    """It had as many lost or failed runs as a job may have tries."""
    PROVIDER_REFUSED = "provider_refused"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    USER_LIMIT = "user_limit"
    WRONG_LANGUAGE = "wrong_language"


FAULTS: Final = frozenset(
    {
        FailureCode.ANSWER_CUT_OFF,
        FailureCode.ANSWER_EMPTY,
        FailureCode.ANSWER_GARBLED,
        FailureCode.DEADLINE_EXCEEDED,
        FailureCode.FEATURE_BROKEN,
        FailureCode.MAX_TRIES_EXCEEDED,
        FailureCode.OFF_TOPIC,
        FailureCode.OUTPUT_INVALID,
        FailureCode.OVERLOADED,
        FailureCode.PROVIDER_REFUSED,
        FailureCode.PROVIDER_UNAVAILABLE,
        FailureCode.WRONG_LANGUAGE,
    }
)
"""Failures that count as errors. Those of the provider hit both arms, so they count in both."""

OTHER_HARMS: Final = frozenset({FailureCode.ANSWER_REFUSED, FailureCode.ANSWER_UNSAFE})
"""Failures that are an observation, but no error: they count as refusals and guard hits."""

NOT_OBSERVED: Final = frozenset(FailureCode) - FAULTS - OTHER_HARMS
"""Failures by our limits, by a person or by the input. They show nothing about the prompt."""


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
"""Failure of a job whose deadline passed while it waited. DEADLINE_EXCEEDED for other reasons."""


def after_waiting(reason: str) -> FailureCode:
    """Return the failure of a job whose deadline passed. `reason` is a WaitReason, or empty."""
    return AFTER_WAITING.get(reason, FailureCode.DEADLINE_EXCEEDED)
