"""The buckets in Redis equal their model, and their keys expire when they are full."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
import redis
from django.conf import settings
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from project.stack.signals import wait_until
from tests.integration.inference.rush import rush
from workers.inference.shared_state import SharedState, connect
from workers.inference.token_bucket import (
    MINUTE,
    SECOND,
    BucketModel,
    RequestLimiter,
    TokenBuckets,
    cost_us,
)

pytestmark = pytest.mark.slow

NOW = 1_800_000_000 * SECOND

RATES = st.sampled_from([Decimal("0.1"), 1, 3, 7, 60, Decimal("61.5"), 4_000, 1_000_000])
STEPS = st.lists(
    st.tuples(
        st.integers(-2 * MINUTE, 2 * MINUTE) | st.integers(0, SECOND),
        st.lists(
            st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(-20, 20), RATES),
            min_size=1,
            max_size=3,
            unique_by=lambda cost: cost[0],
        ),
    ),
    max_size=25,
)


@given(steps=STEPS)
@hypothesis(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_redis_and_the_model_agree_to_the_microsecond(
    raw_redis: redis.Redis,
    state: SharedState,
    steps: list[tuple[int, list[tuple[str, int, Decimal | int]]]],
) -> None:
    raw_redis.flushdb()
    shared, model, now = TokenBuckets(state), BucketModel(), NOW
    for later, wanted in steps:
        now += later
        costs = [(key, cost_us(amount, rate)) for key, amount, rate in wanted]
        assert shared.take(costs, now=now) == model.take(costs, now=now)


def test_a_refusal_takes_nothing_from_another_bucket(state: SharedState) -> None:
    shared = TokenBuckets(state)
    shared.take([("full", MINUTE)], now=NOW)
    taken = shared.take([("empty", SECOND), ("full", SECOND)], now=NOW)
    assert not taken.allowed
    assert shared.take([("empty", 0)], now=NOW).levels[0].debt == 0


def test_a_bucket_never_exceeds_full(state: SharedState) -> None:
    shared = TokenBuckets(state)
    shared.take([("a", SECOND)], now=NOW)
    shared.take([("a", -MINUTE)], now=NOW)
    assert shared.take([("a", MINUTE)], now=NOW).allowed
    assert not shared.take([("a", 1)], now=NOW).allowed


def test_an_amount_over_the_bucket_leaves_a_debt(state: SharedState) -> None:
    limiter = RequestLimiter(state)
    assert limiter.take("u", Decimal("0.1"), now=NOW).allowed
    refused = limiter.take("u", Decimal("0.1"), now=NOW)
    assert (refused.allowed, refused.retry_after_s, refused.limit) == (False, 600, 1)
    assert not limiter.take("u", Decimal("0.1"), now=NOW + 599 * SECOND).allowed
    assert limiter.take("u", Decimal("0.1"), now=NOW + 600 * SECOND).allowed


@pytest.mark.parametrize("rate", [1, 7, 10, 59, 60, 90, Decimal("2.5"), 1_000])
@pytest.mark.parametrize("offset", [0, 1, 499_999, 999_999])
def test_the_wait_of_a_refusal_is_exact(
    state: SharedState, rate: Decimal | int, offset: int
) -> None:
    limiter, at = RequestLimiter(state), NOW
    while limiter.take("u", rate, now=at).allowed:
        at += 1
    at += offset
    refusal = limiter.take("u", rate, now=at)
    if refusal.allowed:
        return
    assert refusal.retry_after_s >= 1
    for early in {refusal.retry_after_s - 1, 0}:
        assert not limiter.take("u", rate, now=at + early * SECOND).allowed
    assert limiter.take("u", rate, now=at + refusal.retry_after_s * SECOND).allowed


def test_a_take_returns_remaining_and_reset(state: SharedState) -> None:
    limiter = RequestLimiter(state)
    assert limiter.take("u", 10, amount=0, now=NOW).remaining == 10
    for left in range(9, -1, -1):
        taken = limiter.take("u", 10, now=NOW)
        assert (taken.allowed, taken.remaining, taken.limit) == (True, left, 10)
    assert taken.reset_s == 60
    seen = limiter.take("u", 10, amount=0, now=NOW + 7 * SECOND)
    assert (seen.remaining, seen.reset_s) == (1, 53)


def test_a_take_can_be_given_back(state: SharedState) -> None:
    limiter = RequestLimiter(state)
    limiter.take("u", 1, now=NOW)
    limiter.give_back("u", 1, now=NOW)
    assert limiter.take("u", 1, now=NOW).allowed


@pytest.mark.parametrize("rate", [*range(1, 75), 137, 599, 1_001, 7_001])
def test_a_full_bucket_admits_exactly_its_rate(state: SharedState, rate: int) -> None:
    shared, cost = TokenBuckets(state), cost_us(1, rate)
    limiter = RequestLimiter(state)
    # One take of the rounded costs has the effect of all single takes but the last.
    shared.take([("aif:requests:u", (rate - 1) * cost)] if rate > 1 else [("x", 1)], now=NOW)
    assert limiter.take("u", rate, amount=0, now=NOW).remaining == 1
    last = limiter.take("u", rate, now=NOW)
    assert (last.allowed, last.remaining) == (True, 0)
    assert not limiter.take("u", rate, now=NOW).allowed


def test_a_full_bucket_leaves_no_key(raw_redis: redis.Redis, state: SharedState) -> None:
    """An expiry in the past would be an error of Redis, which counts as an outage."""
    limiter = RequestLimiter(state)
    limiter.take("u", 60_000)
    limiter.give_back("u", 60)
    assert raw_redis.dbsize() == 0
    assert limiter.take("u", 50).limit == 50


def test_a_lower_rate_holds_immediately(state: SharedState) -> None:
    limiter = RequestLimiter(state)
    for _ in range(30):
        assert limiter.take("u", 60, now=NOW).allowed
    assert limiter.take("u", 2, now=NOW).allowed
    assert not limiter.take("u", 2, now=NOW).allowed


def now_us(raw_redis: redis.Redis) -> int:
    seconds, micros = raw_redis.time()
    return int(seconds * SECOND + micros)


def test_the_clock_of_redis_counts(raw_redis: redis.Redis, state: SharedState) -> None:
    before = now_us(raw_redis)
    RequestLimiter(state).take("u", 1)
    full_at = int(raw_redis.get("aif:requests:u") or 0)
    assert before <= full_at - MINUTE <= now_us(raw_redis)


def test_an_idle_bucket_expires_when_full(raw_redis: redis.Redis, state: SharedState) -> None:
    limiter = RequestLimiter(state)
    for _ in range(3):
        limiter.take("slow", 20)  # 3 s each
    full_at_ms = int(raw_redis.get("aif:requests:slow") or 0) / 1_000
    assert 0 <= raw_redis.pexpiretime("aif:requests:slow") - full_at_ms <= 2
    raw_redis.flushdb()
    for _ in range(3):
        limiter.take("u", 1_200)  # 50 ms each
    assert wait_until(lambda: raw_redis.dbsize() == 0, timeout_s=20, tick=lambda: None)


@pytest.mark.parametrize("rate", [0, -1, Decimal(0)])
def test_a_rate_of_nothing_is_an_error(state: SharedState, rate: Decimal | int) -> None:
    with pytest.raises(ValueError, match="admits nothing"):
        RequestLimiter(state).take("u", rate)


def _takes(url: str) -> Callable[[], bool]:
    limiter = RequestLimiter(connect(url, {}))
    return lambda: limiter.take("rush", 137, now=NOW).allowed


def test_concurrent_processes_never_exceed_a_rate(raw_redis: redis.Redis) -> None:
    allowed = rush(_takes, settings.REDIS_URL, each=100)
    assert sum(allowed) == 137
    assert sum(map(bool, allowed)) > 1, "several took part"


def test_missing_scripts_are_loaded_again(raw_redis: redis.Redis, state: SharedState) -> None:
    limiter = RequestLimiter(state)
    assert limiter.take("u", 2, now=NOW).allowed
    raw_redis.script_flush()
    assert [limiter.take("u", 2, now=NOW).allowed for _ in range(2)] == [True, False]


def test_an_emptied_redis_has_full_buckets(raw_redis: redis.Redis, state: SharedState) -> None:
    limiter = RequestLimiter(state)
    limiter.take("u", 1, now=NOW)
    raw_redis.flushdb()
    taken = limiter.take("u", 1, now=NOW)
    assert (taken.allowed, taken.limit) == (True, 1)
    assert not limiter.take("u", 1, now=NOW).allowed
