"""A changed rate holds for the next request, in both directions."""

from __future__ import annotations

from decimal import Decimal
from itertools import count

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from tests.integration.inference.test_rate_gate import NOW, admit, headers, taught, wait_of
from workers.inference.grants import UserTokens
from workers.inference.rate_gate import RateGate
from workers.inference.shared_state import SharedState
from workers.inference.token_bucket import MINUTE, RequestLimiter
from workers.inference.types import TokenUsage

RATES = st.sampled_from([Decimal("0.01"), Decimal("0.5"), 1, 3, 60, 1_000, 100_000])
KEYS = (f"of example {number}" for number in count())
"""A new bucket for each try of an example."""

ANY_STATE = hypothesis(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def used_up(limiter: RequestLimiter, key: str, rate: Decimal | int) -> int:
    """Take the whole amount, or half of it, and so on. Return the number of admitted requests."""
    taken, amount = 0, max(int(rate), 1)
    while amount and taken <= 10 * max(rate, 1):
        if limiter.take(key, rate, amount=amount, now=NOW).allowed:
            taken += amount
        else:
            amount //= 2
    return taken


@given(before=RATES, after=RATES)
@ANY_STATE
def test_the_new_rate_bounds_a_wait(
    state: SharedState, before: Decimal | int, after: Decimal | int
) -> None:
    """A minute, or what one request takes, from an empty bucket at the new rate."""
    limiter, key = RequestLimiter(state), next(KEYS)
    used_up(limiter, key, before)
    took = limiter.take(key, after, now=NOW)
    if after >= before:
        assert took.retry_after_s <= max(60 / float(after), 1) + 1
    else:
        assert took.retry_after_s <= 60 / float(after) + 60 / float(before) + 60


@given(before=RATES, after=RATES)
@ANY_STATE
def test_the_higher_rate_is_a_bound(
    state: SharedState, before: Decimal | int, after: Decimal | int
) -> None:
    limiter, key = RequestLimiter(state), next(KEYS)
    first = used_up(limiter, key, before)
    assert first == max(int(before), 1)
    most = max(float(before), float(after), 1)
    # Each take may be rounded in the favour of its user, by a millionth of a minute.
    assert first + used_up(limiter, key, after) <= most * 1.0001 + 1


def test_a_raised_rate_frees_an_overdrawn_user(gate: RateGate) -> None:
    slow, fast = UserTokens("summarize:1", 100), UserTokens("summarize:1", 1_000_000)
    admit(gate, inward=25_000, outward=25_000, user=slow)
    assert wait_of(gate, user=slow) > 500
    admit(gate, inward=25_000, outward=25_000, user=fast).give_back(now=NOW)


def test_bookings_at_a_lower_rate_delay_no_user(gate: RateGate) -> None:
    slow, fast = UserTokens("summarize:1", 400), UserTokens("summarize:1", 400_000)
    admit(gate, user=slow)
    admit(gate, user=slow)
    for _ in range(30):
        wait_of(gate, user=slow)
    assert wait_of(gate, user=slow) > 300
    little = UserTokens("summarize:1", 500)
    assert wait_of(gate, user=little) < 60
    admit(gate, user=fast, now=NOW)


def test_a_lowered_rate_holds_for_the_next_call(gate: RateGate) -> None:
    fast, slow = UserTokens("summarize:1", 4_000), UserTokens("summarize:1", 400)
    for _ in range(20):
        admit(gate, user=fast)
    assert wait_of(gate, user=slow) > 0


def test_a_raised_limit_holds_from_its_first_header(gate: RateGate) -> None:
    taught(gate, headers(inward=(100, 100)))
    later = NOW + MINUTE
    small = admit(gate, inward=0, now=later)
    admit(gate, inward=50_000, now=later)
    assert wait_of(gate, inward=50_000, now=later) >= 30
    raised = headers(inward=(1_000_000, 950_000))
    small.succeeded(TokenUsage(0, 0), raised, 100, now=later)
    admit(gate, inward=50_000, now=later)
