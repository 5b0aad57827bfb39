"""What a user reads when a job did not succeed, by its error code."""

from __future__ import annotations

from typing import Final

MESSAGES: Final = {
    "account_limit": "You have reached today's limit for all features together. Cancelled and"
    " repeated requests count too. It starts again at 00:00 UTC.",
    "answer_garbled": "The answer could not be read. Our team can see it. You can try again.",
    "budget_spent": "The budget for this feature is used up for today. Please try again tomorrow.",
    "budget_held": "Many requests are being answered right now. Yours is waiting its turn.",
    "cancelled": "You cancelled this request.",
    "cancelled_by_staff": "Our team cancelled this request.",
    "cancelled_by_switch": "This feature was stopped, so your request was cancelled.",
    "deadline_exceeded": "This took longer than we allow, so we stopped. Please try again.",
    "feature_paused": "Paused by our team. Your request is kept and continues by itself.",
    "feature_removed": "This feature is no longer offered.",
    "internal_error": "Something went wrong on our side. We try again.",
    "input_invalid": "The input no longer fits this feature. Please submit it again.",
    "output_invalid": "We could not produce a usable answer for this input.",
    "overloaded": "We could not get to your request in time. Please try again later.",
    "poison": "We could not process this request. Our team can see it and will look into it.",
    "provider_refused": "The request could not be processed. Our team can see it.",
    "provider_unavailable": "The service is temporarily unavailable. Please try again later.",
    "provider_limited": "Many requests are being answered right now. Yours is waiting its turn.",
    "provider_account": "The service is temporarily unavailable. We keep trying until {until} UTC.",
    "provider_paused": "The service is temporarily unavailable. We keep trying until {until} UTC.",
    "provider_waiting": "The service is temporarily unavailable. We keep trying until {until} UTC.",
    "user_busy": "Your other requests are being answered. This one goes on when one of them ends.",
    "user_limit": "You have reached today's limit for this feature. Cancelled and repeated requests"
    " count too. It starts again at 00:00 UTC.",
    "user_tokens": "You have sent a lot within a minute. Your request goes on in a moment.",
    "interrupted": "Your request was interrupted. It goes on in a moment.",
}

_ENDED: Final = {
    "feature_paused": "Our team paused this feature for longer than your request could wait, so it"
    " was not done. Please send it again once the feature is back.",
}
"""Sentences for jobs that failed, where that of a job that waits would be wrong."""


def sentence(code: str) -> str:
    """The sentence for an error code.

    `{until}` in it is filled in where the job is put back, by the database's clock: the time of
    day at which the job's deadline ends it.

    Raises:
        KeyError: no sentence was written for it; a test lists every code that is used.
    """
    return MESSAGES[code]


def sentence_at_end(code: str) -> str:
    """The sentence for the error code of a job that failed and does not continue.

    Raises:
        KeyError: no sentence was written for it.
    """
    return _ENDED.get(code) or sentence(code)
