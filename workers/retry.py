"""Retry decisions after a failed run: pure functions of the error, the tries and the time left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from workers.inference.errors import (
    AnswerGarbled,
    Billing,
    DeadlineReached,
    InferenceError,
    Permanent,
)

BASE_DELAY_S: Final = 1.0
MAX_DELAY_S: Final = 60.0

DEFER_S: Final = 10.0
"""Longest wait, in seconds, of a job that the retry budget holds back. The budget bounds the
retries sent; this bounds the delay after the provider recovers."""

LAST_TRY_S: Final = 1.0
"""No try begins with fewer seconds to the deadline: it would not be worth its cost."""


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Run again after `delay_s` seconds."""

    delay_s: float
    counts_as_try: bool = True
    """Whether the ended run counts as a try. A call that the provider refused without work costs
    nothing and did no harm, so such a job retries until its deadline."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not run again. `code` is the job's error code."""

    code: str


Decision = RetryIn | GiveUp


def decide(
    error: InferenceError,
    *,
    failures: int,
    tries: int,
    max_tries: int,
    seconds_left: float,
    jitter: float,
) -> Decision:
    """Return what to do after a failed provider call.

    The delay is exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff
    And Jitter") added to the provider's retry-after, so that calls refused together do not retry
    together. It never exceeds the job's deadline.

    The backoff grows with `failures`, the earlier provider calls. `tries` are earlier runs that
    count. `seconds_left` is the time to the job's deadline. `jitter` is random in [0, 1).
    """
    if isinstance(error, AnswerGarbled):
        return GiveUp("answer_garbled")
    # A call that exceeds its own deadline is treated like a timeout of the provider.
    if not (error.retryable or isinstance(error, DeadlineReached)):
        return GiveUp("provider_refused")
    # A rejected request is retried only if the provider allows it, so its tries are limited.
    counts_as_try = error.billing is not Billing.NONE or isinstance(error, Permanent)
    if counts_as_try and tries + 1 >= max_tries:
        return GiveUp("provider_unavailable")
    earliest = error.retry_after_s or 0.0
    room = seconds_left - LAST_TRY_S - earliest
    if room <= 0:
        return GiveUp("provider_unavailable")
    backoff = min(MAX_DELAY_S, BASE_DELAY_S * 2 ** min(failures, 30), room)
    return RetryIn(earliest + jitter * backoff, counts_as_try=counts_as_try)


def defer(*, seconds_left: float, jitter: float) -> Decision:
    """Return what to do after the retry budget refused a call. It does not count as a try."""
    room = seconds_left - LAST_TRY_S
    if room <= 0:
        return GiveUp("provider_unavailable")
    return RetryIn(min(DEFER_S * (1 + jitter) / 2, room), counts_as_try=False)
