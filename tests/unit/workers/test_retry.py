"""The retry decisions, as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers import retry
from workers.inference import (
    AccessDenied,
    Billing,
    BillingStopped,
    Cancelled,
    ConnectionFailed,
    DeadlineReached,
    InferenceError,
    Overloaded,
    ProviderTimeout,
    RateLimited,
    RequestRejected,
)
from workers.retry import GiveUp, RetryIn


def decide(
    error: InferenceError,
    *,
    failures: int = 0,
    tries: int = 0,
    left: float = 300.0,
    jitter: float = 0.5,
) -> retry.Decision:
    return retry.decide(
        error, failures=failures, tries=tries, max_tries=5, seconds_left=left, jitter=jitter
    )


def turned_away(after: float | None = None) -> RateLimited:
    """Unworked and unbilled."""
    return RateLimited("x", retry_after_s=after, billing=Billing.NONE)


@pytest.mark.parametrize(
    ("error", "failures", "left", "expected"),
    [
        (ProviderTimeout("x"), 0, 300, RetryIn(0.5)),
        (ProviderTimeout("x"), 3, 300, RetryIn(4.0)),
        (ConnectionFailed("x"), 1, 300, RetryIn(1.0)),
        (ConnectionFailed("x"), 60, 300, RetryIn(30.0)),
        (DeadlineReached("x"), 0, 300, RetryIn(0.5)),
        # Not sooner than the provider requests, and not all at the same moment.
        (turned_away(20), 0, 300, RetryIn(20.5, counts_as_try=False)),
        (turned_away(0.1), 0, 300, RetryIn(0.6, counts_as_try=False)),
        # Near the deadline what is left of it is the backoff.
        (turned_away(20), 6, 25, RetryIn(22.0, counts_as_try=False)),
        # No later than the deadline, even if the provider requests more.
        (turned_away(86_400), 0, 300, GiveUp("provider_unavailable")),
        (turned_away(20), 0, 21, GiveUp("provider_unavailable")),
        (Overloaded("x"), 0, 1, GiveUp("provider_unavailable")),
        (RequestRejected("x"), 0, 300, GiveUp("provider_refused")),
        (AccessDenied("x"), 0, 300, GiveUp("provider_refused")),
        (BillingStopped("x"), 0, 300, GiveUp("provider_refused")),
        (BillingStopped("x", retry_after_s=1), 0, 300, GiveUp("provider_refused")),
        (Cancelled("x", reason="fenced"), 0, 300, GiveUp("provider_refused")),
        # The provider itself reports that a retry is useless.
        (Overloaded("x", retryable=False), 0, 300, GiveUp("provider_refused")),
    ],
    ids=str,
)
def test_the_decision(
    error: InferenceError, failures: int, left: float, expected: retry.Decision
) -> None:
    assert decide(error, failures=failures, left=left) == expected


def test_the_fifth_try_that_may_have_been_worked_on_is_the_last() -> None:
    assert decide(ProviderTimeout("x"), tries=3) == RetryIn(0.5)
    assert decide(ProviderTimeout("x"), tries=4) == GiveUp("provider_unavailable")


def test_a_job_that_is_turned_away_goes_on_until_its_deadline() -> None:
    assert decide(turned_away(), tries=4) == RetryIn(0.5, counts_as_try=False)


@given(
    failures=st.integers(0, 32_767),
    jitter=st.floats(0, 1, exclude_max=True),
    left=st.floats(-10, 3000),
    after=st.none() | st.floats(0, 1e6),
)
def test_a_retry_is_bounded_by_backoff_and_deadline(
    failures: int, jitter: float, left: float, after: float | None
) -> None:
    match decide(turned_away(after), failures=failures, left=left, jitter=jitter):
        case RetryIn(delay, counts_as_try):
            assert 0 <= delay < left
            assert (after or 0) <= delay <= retry.MAX_DELAY_S + (after or 0)
            assert not counts_as_try
        case GiveUp(code):
            assert code == "provider_unavailable"
            assert left - (after or 0) <= retry.LAST_TRY_S


@pytest.mark.parametrize(
    ("left", "jitter", "expected"),
    [
        (300, 0.0, RetryIn(5.0, counts_as_try=False)),
        (300, 0.5, RetryIn(7.5, counts_as_try=False)),
        # One more chance just before the deadline, then the end.
        (6, 0.5, RetryIn(5.0, counts_as_try=False)),
        (1, 0.5, GiveUp("provider_unavailable")),
        (-5, 0.5, GiveUp("provider_unavailable")),
    ],
)
def test_a_deferral_counts_as_no_try_and_ends_before_the_deadline(
    left: float, jitter: float, expected: retry.Decision
) -> None:
    assert retry.defer(seconds_left=left, jitter=jitter) == expected
