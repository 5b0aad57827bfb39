"""What to do after a failed run: pure decisions from the error, the tries so far and the clock."""

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
"""Longest wait, in seconds, of a job that the retry budget keeps from being sent. What is sent is
bounded by that budget; this is how late such a job may learn that the provider is back."""

LAST_TRY_S: Final = 1.0
"""A try with less than this many seconds to the deadline is not worth its cost."""


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Run again in this many seconds."""

    delay_s: float

    counts_as_try: bool = True
    """Whether the run that ended counts as a try. A provider that turned the call away unworked
    was not hurt by the job and bills nothing, so such a job goes on until its deadline."""


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
    """Decide after a provider call failed.

    Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And
    Jitter"), on top of the provider's retry-after, so that what it sent away together does not
    come back together; never past the job's deadline.

    Args:
        error: What happened; its class says whether trying again makes sense.
        failures: Provider calls made before this one; the backoff grows with them.
        tries: Runs that counted before this one.
        max_tries: The feature's cap of runs.
        seconds_left: Until the job's deadline.
        jitter: Uniform in [0, 1); the caller's randomness.
    """
    if isinstance(error, AnswerGarbled):
        return GiveUp("answer_garbled")
    # A call that outlasts its own deadline is as good as a provider that timed out.
    if not (error.retryable or isinstance(error, DeadlineReached)):
        return GiveUp("provider_refused")
    # A request that was rejected is tried again only because the provider says so: not for ever.
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
    """Decide after the retry budget let no call be sent. Counts as no try.

    Args:
        seconds_left: Until the job's deadline.
        jitter: Uniform in [0, 1); the caller's randomness.
    """
    room = seconds_left - LAST_TRY_S
    if room <= 0:
        return GiveUp("provider_unavailable")
    return RetryIn(min(DEFER_S * (1 + jitter) / 2, room), counts_as_try=False)
