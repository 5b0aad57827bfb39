"""Reading the provider's limits, and the arithmetic of what is given back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.inference.provider_limits import (
    Amounts,
    LimitHeader,
    given_back,
    plausible,
    read_headers,
    share,
    used_by,
)
from workers.inference.types import TokenUsage


def test_the_three_limits_are_read() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-11-22T06:00:00Z",
        "anthropic-ratelimit-input-tokens-limit": "50000",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-output-tokens-limit": "10000",
        "anthropic-ratelimit-output-tokens-remaining": "9000",
        "anthropic-ratelimit-tokens-limit": "60000",
        "anthropic-ratelimit-tokens-remaining": "9000",
    }
    assert read_headers(headers) == (
        LimitHeader(50, 49),
        LimitHeader(50_000, 0),
        LimitHeader(10_000, 9_000),
    )


@pytest.mark.parametrize(
    ("limit", "remaining"), [("x", "1"), ("1", ""), ("0", "0"), ("-5", "1"), ("", "")]
)
def test_an_invalid_header_is_ignored(limit: str, remaining: str) -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": limit,
        "anthropic-ratelimit-requests-remaining": remaining,
    }
    assert read_headers(headers) == (None, None, None)


def test_an_overdrawn_limit_has_nothing_left() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "5",
        "anthropic-ratelimit-requests-remaining": "-3",
    }
    assert read_headers(headers)[0] == LimitHeader(5, 0)


def test_cache_reads_count_for_no_limit() -> None:
    assert used_by(TokenUsage(10, 20, 1_000, 300)) == Amounts(1, 310, 20)


@pytest.mark.parametrize(
    ("measured", "limits"), [(False, (1, 200, 1)), (True, (1, 150, 40))], ids=["not", "measured"]
)
def test_a_limit_is_believed_unless_the_call_surely_exceeded_it(
    measured: bool, limits: tuple[int, int, int]
) -> None:
    """The bound of a prompt is its bytes. Without a report, the output is unknown."""
    reserved, used = Amounts(1, 3_200, 3_200), Amounts(1, 150, 40)
    told = tuple(LimitHeader(limit, 0) for limit in limits)
    assert plausible(told, reserved, used, measured=measured) == told
    lower = (None, LimitHeader(limits[1] - 1, 0), None)
    assert plausible(lower, reserved, used, measured=measured) == (None, None, None)


@given(cost=st.integers(0, 10**10), reserved=st.integers(1, 10**6), used=st.integers(0, 10**6))
def test_the_settled_amount_covers_the_usage(cost: int, reserved: int, used: int) -> None:
    kept = cost - given_back(cost, reserved, used)
    assert kept * reserved >= cost * used
    assert (kept - 1) * reserved < cost * used


def test_nothing_reserved_gives_nothing_back() -> None:
    assert given_back(0, 0, 0) == 0
    assert share(0, 0) == 1_000_000
    assert share(400, 100) == 250_000
