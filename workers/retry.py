"""What to do after a failed run: a pure decision from the error, the tries so far and the clock."""

from __future__ import annotations

from dataclasses import dataclass

from workers.inference.errors import DeadlineReached, InferenceError

BASE_DELAY_S = 1.0
MAX_DELAY_S = 60.0


@dataclass(frozen=True, slots=True)
class RetryIn:
    """Run again in this many seconds; the run that failed counts as a try."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not run again. `code` is the job's error code."""

    code: str


Decision = RetryIn | GiveUp


def decide(
    error: InferenceError, *, tries: int, max_tries: int, seconds_left: float, jitter: float
) -> Decision:
    """Decide after a provider call failed.

    Exponential backoff with full jitter (AWS Architecture Blog, "Exponential Backoff And
    Jitter"), never sooner than the provider's retry-after, never past the job's deadline.

    Args:
        error: What happened; its class says whether trying again makes sense.
        tries: Runs that failed before this one.
        max_tries: The feature's cap of runs.
        seconds_left: Until the job's deadline.
        jitter: Uniform in [0, 1); the caller's randomness.
    """
    # A call that outlasts its own deadline is as good as a provider that timed out.
    if not (error.retryable or isinstance(error, DeadlineReached)):
        return GiveUp("provider_refused")
    if tries + 1 >= max_tries:
        return GiveUp("provider_unavailable")
    backoff = jitter * min(MAX_DELAY_S, BASE_DELAY_S * 2**tries)
    delay = max(backoff, error.retry_after_s or 0.0)
    if delay >= seconds_left:
        return GiveUp("provider_unavailable")
    return RetryIn(delay)
