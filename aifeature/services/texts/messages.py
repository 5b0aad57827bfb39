"""Messages for users about jobs that wait, failed or were cancelled."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from aifeature.reasons import FailureCode, WaitReason

_BUSY: Final = "Many requests are being answered right now. Yours is waiting its turn."
_AWAY: Final = "The service is temporarily unavailable. We keep trying until {until} UTC."

WAITING: Final = MappingProxyType(
    {
        WaitReason.BUDGET_HELD: _BUSY,
        WaitReason.FEATURE_PAUSED: "Paused by our team. Your request is kept and continues by"
        " itself.",
        WaitReason.INTERNAL_ERROR: "Something went wrong on our side. We try again.",
        WaitReason.INTERRUPTED: "Your request was interrupted. It goes on in a moment.",
        WaitReason.PROVIDER_ACCOUNT: _AWAY,
        WaitReason.PROVIDER_LIMITED: _BUSY,
        WaitReason.PROVIDER_PAUSED: _AWAY,
        WaitReason.PROVIDER_WAITING: _AWAY,
        WaitReason.USER_BUSY: "Your other requests are being answered. This one goes on when one of"
        " them ends.",
        WaitReason.USER_TOKENS: "You have sent a lot within a minute. Your request goes on in a"
        " moment.",
    }
)
"""By reason. The database fills in `{until}`, the time of day of the job's deadline."""

FAILED: Final = MappingProxyType(
    {
        FailureCode.ACCOUNT_LIMIT: "You have reached today's limit for all features together."
        " Cancelled and repeated requests count too. It starts again at 00:00 UTC.",
        FailureCode.ANSWER_CUT_OFF: "The answer became too long and broke off, so we do not show"
        " it. Please ask for less at once.",
        FailureCode.ANSWER_EMPTY: "There was no answer to this. Please try other words.",
        FailureCode.ANSWER_GARBLED: "The answer could not be read. Our team can see it. You can try"
        " again.",
        FailureCode.ANSWER_REFUSED: "The AI declined to answer this. If your request is in order,"
        " please try other words.",
        FailureCode.ANSWER_UNSAFE: "We cannot show this answer, because it may be unsafe. Please"
        " try other words.",
        FailureCode.APPROVAL_EXPIRED: "A person had to decide about this answer, and nobody did in"
        " time, so you cannot read it. It was not charged. Please try again.",
        FailureCode.BUDGET_SPENT: "The budget for this feature is used up for today. Please try"
        " again tomorrow.",
        FailureCode.CANCELLED: "You cancelled this request.",
        FailureCode.DEADLINE_EXCEEDED: "This took longer than we allow, so we stopped. Please try"
        " again.",
        FailureCode.FEATURE_BROKEN: "Something is wrong with this feature. Our team can see it.",
        FailureCode.FEATURE_PAUSED: "Our team paused this feature for longer than your request"
        " could wait, so it was not done. Please send it again once the feature is back.",
        FailureCode.FEATURE_REMOVED: "This feature is no longer offered.",
        FailureCode.INPUT_INVALID: "The input no longer fits this feature. Please submit it again.",
        FailureCode.INPUT_REFUSED: "We could not process this text. Please try other words.",
        FailureCode.OFF_TOPIC: "The answer was not about your text, so we do not show it. Please"
        " try again.",
        FailureCode.OUTPUT_INVALID: "We could not produce a usable answer for this input.",
        FailureCode.OVERLOADED: "We could not get to your request in time. Please try again later.",
        FailureCode.MAX_TRIES_EXCEEDED: (
            "We could not process this request. Our team can see it and will look into it."
        ),
        FailureCode.PROVIDER_REFUSED: "The request could not be processed. Our team can see it.",
        FailureCode.PROVIDER_UNAVAILABLE: "The service is temporarily unavailable. Please try again"
        " later.",
        FailureCode.USER_LIMIT: "You have reached today's limit for this feature. Cancelled and"
        " repeated requests count too. It starts again at 00:00 UTC.",
        FailureCode.WRONG_LANGUAGE: "We could not get an answer in the language of your text."
        " Please try again.",
    }
)
"""By code."""

CANCELLED_BY_USER: Final = FAILED[FailureCode.CANCELLED]
CANCELLED_BY_STAFF: Final = "Our team cancelled this request."
CANCELLED_BY_SWITCH: Final = "This feature was stopped, so your request was cancelled."
"""The message for a closed account is in `sql/closed_accounts.sql`."""
