"""The retry decision, as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import retry
from workers.inference import (
    AccessDenied,
    BillingStopped,
    ConnectionFailed,
    DeadlineReached,
    InferenceError,
    Overloaded,
    RateLimited,
    RequestRejected,
)
from workers.retry import GiveUp, RetryIn


def decide(
    error: InferenceError, *, tries: int = 0, left: float = 300.0, jitter: float = 0.5
) -> retry.Decision:
    return retry.decide(error, tries=tries, max_tries=5, seconds_left=left, jitter=jitter)


@pytest.mark.parametrize(
    ("error", "tries", "left", "expected"),
    [
        (Overloaded("x"), 0, 300, RetryIn(0.5)),
        (Overloaded("x"), 3, 300, RetryIn(4.0)),
        (ConnectionFailed("x"), 1, 300, RetryIn(1.0)),
        (DeadlineReached("x"), 0, 300, RetryIn(0.5)),
        (RateLimited("x", retry_after_s=20), 0, 300, RetryIn(20)),
        (RateLimited("x", retry_after_s=0.1), 0, 300, RetryIn(0.5)),
        # No later than the deadline, whatever the provider asks for.
        (RateLimited("x", retry_after_s=86_400), 0, 300, GiveUp("provider_unavailable")),
        (Overloaded("x"), 0, 0.1, GiveUp("provider_unavailable")),
        # Four tries failed, this was the fifth.
        (Overloaded("x"), 4, 300, GiveUp("provider_unavailable")),
        (RequestRejected("x"), 0, 300, GiveUp("provider_refused")),
        (AccessDenied("x"), 0, 300, GiveUp("provider_refused")),
        (BillingStopped("x"), 0, 300, GiveUp("provider_refused")),
        # The provider itself said that trying again is no use.
        (Overloaded("x", retryable=False), 0, 300, GiveUp("provider_refused")),
    ],
    ids=str,
)
def test_the_decision(
    error: InferenceError, tries: int, left: float, expected: retry.Decision
) -> None:
    assert decide(error, tries=tries, left=left) == expected


@given(
    tries=st.integers(0, 30),
    jitter=st.floats(0, 1, exclude_max=True),
    left=st.floats(0, 3000),
    after=st.none() | st.floats(0, 1e6),
)
def test_a_retry_is_bounded_by_backoff_and_deadline(
    tries: int, jitter: float, left: float, after: float | None
) -> None:
    match decide(RateLimited("x", retry_after_s=after), tries=tries, left=left, jitter=jitter):
        case RetryIn(delay):
            assert 0 <= delay < left
            assert delay >= (after or 0)
            assert delay <= max(retry.MAX_DELAY_S, after or 0)
        case GiveUp(code):
            assert code == "provider_unavailable"
