"""One step of the rate gate for all buckets: takes, returns and bookings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest
import redis
from django.conf import settings

from tests.integration.inference.rush import rush
from workers.inference.admission import GateAdmission, ProbeAdmission
from workers.inference.breaker import BreakerPolicy
from workers.inference.errors import (
    Billing,
    Cancelled,
    Deferred,
    Overloaded,
    RateLimited,
    Refused,
    RequestRejected,
)
from workers.inference.grants import UserTokens
from workers.inference.rate_gate import RateGate
from workers.inference.shared_state import SharedState, connect
from workers.inference.token_bucket import SECOND
from workers.inference.types import TokenUsage

pytestmark = pytest.mark.slow

NOW = 1_800_000_000 * SECOND
MODEL = "claude-haiku-5-5"
ADA = UserTokens("summarize:1", 6_000)  # a hundred in a second


AMPLE = (1_000_000, 1_000_000)


def headers(
    *,
    requests: tuple[int, int] = AMPLE,
    inward: tuple[int, int] = AMPLE,
    outward: tuple[int, int] = AMPLE,
) -> dict[str, str]:
    """Return headers as the provider sends them, from limits and remaining amounts."""
    rows = {"requests": requests, "input-tokens": inward, "output-tokens": outward}
    return {
        f"anthropic-ratelimit-{name}-{what}": str(value)
        for name, row in rows.items()
        for what, value in zip(("limit", "remaining"), row, strict=True)
    }


def admit(
    gate: RateGate,
    *,
    inward: int = 100,
    outward: int = 100,
    user: UserTokens | None = None,
    booked: bool = False,
    now: int = NOW,
) -> GateAdmission:
    return gate.admit(
        model=MODEL,
        input_tokens=inward,
        output_tokens=outward,
        user=user,
        booked=booked,
        now=now,
    )


def wait_of(
    gate: RateGate,
    *,
    now: int = NOW,
    user: UserTokens | None = None,
    inward: int = 100,
    outward: int = 100,
) -> float:
    """Return the seconds for which a new call is deferred."""
    with pytest.raises(Deferred) as deferred:
        admit(gate, now=now, user=user, inward=inward, outward=outward)
    return deferred.value.wait_s


def taught(gate: RateGate, received: dict[str, str], *, now: int = NOW) -> None:
    """Let the gate receive these headers."""
    admit(gate, now=now).succeeded(TokenUsage(100, 100), received, 100, now=now)


def left(gate: RateGate, *, now: int = NOW) -> list[int]:
    """Return the remaining requests, input tokens and output tokens."""
    seen = gate.limits(MODEL, now=now)
    assert seen is not None
    return [limit.remaining for limit in seen.limits]


def per_minute(gate: RateGate, *, now: int = NOW) -> list[int]:
    """Return the limits of requests, input tokens and output tokens."""
    seen = gate.limits(MODEL, now=now)
    assert seen is not None
    return [limit.per_minute for limit in seen.limits]


def test_a_user_gets_back_what_a_call_did_not_use(gate: RateGate) -> None:
    admission = admit(gate, inward=4_000, outward=2_000, user=ADA)
    assert wait_of(gate, user=ADA, inward=1_000, outward=0) == pytest.approx(10)
    admission.succeeded(TokenUsage(input_tokens=400, output_tokens=600), {}, 100, now=NOW)
    admit(gate, inward=5_000, outward=0, user=ADA, booked=True)
    with pytest.raises(Deferred):
        admit(gate, inward=1, outward=0, user=ADA, booked=True)


def test_cached_tokens_cost_a_user_nothing(gate: RateGate) -> None:
    admission = admit(gate, inward=4_000, outward=2_000, user=ADA)
    admission.succeeded(TokenUsage(0, 0, 4_000, 500), {}, 100, now=NOW)
    admit(gate, inward=5_500, outward=0, user=ADA)
    with pytest.raises(Deferred):
        admit(gate, inward=1, outward=0, user=ADA)


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (RateLimited("429", billing=Billing.NONE), 0),
        (RequestRejected("400", billing=Billing.NONE), 0),
        (Overloaded("500", billing=Billing.UNSEEN), 0),
        (Cancelled("theirs", reason="user", billing=Billing.UNSEEN), 6_000),
        (Refused("no", billing=Billing.KNOWN, usage=TokenUsage(1_000, 200)), 1_200),
        (ValueError("of the sink"), 6_000),
    ],
)
def test_a_user_pays_only_for_own_aborts(gate: RateGate, error: Exception, kept: int) -> None:
    admit(gate, inward=4_000, outward=2_000, user=ADA).failed(error, now=NOW)
    if kept < 6_000:
        admit(gate, inward=6_000 - kept, outward=0, user=ADA)
    with pytest.raises(Deferred):
        admit(gate, inward=1, outward=0, user=ADA)


def test_a_call_that_is_not_sent_gives_everything_back(gate: RateGate) -> None:
    taught(gate, headers(requests=(10, 10), inward=(1_000, 1_000), outward=(500, 500)))
    admit(gate, inward=700, outward=400, user=ADA).give_back(now=NOW)
    assert left(gate) == [10, 1_000, 500]
    admit(gate, inward=1_000, outward=500, user=UserTokens(ADA.key, 1_500))


def test_a_refusal_takes_nothing_from_other_buckets(gate: RateGate) -> None:
    taught(gate, headers(requests=(10, 10), inward=(1_000, 1_000), outward=(500, 200)))
    poor = UserTokens("poor", 100)
    admit(gate, user=poor)
    assert left(gate) == [9, 900, 100]
    with pytest.raises(Deferred) as deferred:
        admit(gate, user=poor)
    assert (deferred.value.reason, deferred.value.scope) == ("user_tokens", "poor")
    assert left(gate) == [9, 900, 100]
    with pytest.raises(Deferred) as deferred:
        admit(gate, user=ADA, outward=500)
    assert (deferred.value.reason, deferred.value.scope) == ("provider_limit", MODEL)
    assert left(gate) == [9, 900, 100]
    gate.admit(model="other", input_tokens=6_000, output_tokens=0, user=ADA, now=NOW)


def test_an_unknown_limit_admits_every_call(gate: RateGate) -> None:
    for _ in range(100):
        admit(gate, inward=1_000_000, outward=100_000)


def test_the_first_headers_set_the_level(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 30), inward=(10_000, 4_000), outward=(2_000, 2_000)))
    assert left(gate) == [30, 4_000, 2_000]
    admit(gate, inward=3_000, outward=700)
    assert left(gate) == [29, 1_000, 1_300]
    assert wait_of(gate, inward=2_000, outward=0) == pytest.approx(6.0, abs=0.001)


def test_unused_parts_of_the_limits_come_back(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 60), inward=(10_000, 10_000), outward=(2_000, 2_000)))
    admission = admit(gate, inward=8_000, outward=1_000)
    admission.succeeded(TokenUsage(1_500, 100, 5_000, 500), {}, 100, now=NOW)
    assert left(gate) == [59, 8_000, 1_900]


def test_limits_refill_over_a_minute(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 0)))
    with pytest.raises(Deferred):
        admit(gate, now=NOW + SECOND - 100)
    admit(gate, now=NOW + SECOND, booked=True)


def test_a_new_limit_holds_from_its_first_header_on(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 60)))
    taught(gate, headers(requests=(6, 6)))
    assert per_minute(gate)[0] == 6


def test_headers_never_raise_our_own_accounting(gate: RateGate) -> None:
    told = headers(requests=(60, 60))
    taught(gate, told)
    for _ in range(10):
        admit(gate)
    taught(gate, told)
    assert left(gate)[0] == 49


GAPS = {
    # Ours was 58 after its take. The provider's is less than 21.
    "others take with the same key": (60, 2, [(0, 20), (2, 20)], {60 - 37, 60 - 37 - 1}),
    "a gap that closes within the window": (60, 3, [(0, 20), (1, 58), (2, 20)], {58, 59}),
    "calls in flight": (60, 40, [(n / 10, 59 - n) for n in range(40)], {23}),
    # The provider's bucket has refilled in the meantime, too.
    "headers from the begin of a long call": (30, 2, [(20, 28), (23, 28)], {51}),
    "headers that include later calls": (60, 22, [(0, 38), (2, 40)], {39, 40}),
}
"""By case: the level, admitted calls, ends of calls (second, remaining requests), new levels."""


@pytest.mark.parametrize(("level", "calls", "ends", "after"), GAPS.values(), ids=GAPS.keys())
def test_only_use_by_others_lowers_the_level(
    gate: RateGate, level: int, calls: int, ends: list[tuple[float, int]], after: set[int]
) -> None:
    taught(gate, headers(requests=(60, level)))
    admissions, at = [admit(gate) for _ in range(calls)], NOW
    for admission, (later, remaining) in zip(admissions, ends, strict=False):
        assert left(gate)[0] == level - calls, "one sample does not lower the level"
        at = NOW + round(later * SECOND)
        admission.succeeded(TokenUsage(), headers(requests=(60, remaining)), 100, now=at)
    assert left(gate, now=at)[0] in after


def test_rounding_by_the_provider_is_no_gap(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 30)))
    for half_seconds, remaining in ((1, 29), (5, 30)):
        at = NOW + half_seconds * SECOND // 2
        taught(gate, headers(requests=(60, remaining)), now=at)
    assert left(gate, now=NOW + 3 * SECOND)[0] == 31


def test_a_rate_limit_defers_all_for_its_retry_after(gate: RateGate) -> None:
    error = RateLimited("429", billing=Billing.NONE, retry_after_s=7.0)
    admit(gate).failed(error, now=NOW)
    first, second = wait_of(gate), wait_of(gate)
    assert first == pytest.approx(7.0)
    assert second > first, "each call gets its own time"
    with pytest.raises(Deferred):
        admit(gate, now=NOW + 7 * SECOND - 1, booked=True)
    admit(gate, now=NOW + 7 * SECOND, booked=True)


def test_a_rate_limit_corrects_the_level_immediately(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 60), inward=(10_000, 10_000)))
    told = headers(requests=(60, 50), inward=(10_000, 200))
    error = RateLimited("429", billing=Billing.NONE, retry_after_s=1.0, rate_limits=told)
    admit(gate, inward=3_000).failed(error, now=NOW)
    assert left(gate)[1] in {200, 201}


def test_deferred_calls_get_separate_times(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 0)))
    waits = [wait_of(gate) for _ in range(4)]
    assert waits == pytest.approx([1.0, 2.0, 3.0, 4.0], abs=0.001)


def test_small_calls_do_not_overtake_a_large_one(gate: RateGate) -> None:
    taught(gate, headers(outward=(6_000, 0)))
    at = NOW + round(wait_of(gate, outward=3_000) * SECOND)
    assert at == pytest.approx(NOW + 30 * SECOND, abs=1_000)
    for tenth in range(1, 300, 10):
        assert wait_of(gate, outward=10, now=NOW + tenth * SECOND // 10) > 0
    admit(gate, outward=3_000, booked=True, now=at)


def test_new_calls_wait_behind_booked_ones(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 0)))
    for _ in range(10):
        wait_of(gate)
    later = NOW + SECOND
    assert wait_of(gate, now=later) == pytest.approx(10.0, abs=0.001)
    admit(gate, now=later, booked=True)


def test_a_bucket_over_half_full_defers_no_call(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 0)))
    for _ in range(60):
        wait_of(gate)
    assert wait_of(gate, now=NOW + 29 * SECOND) > 30
    admit(gate, now=NOW + 31 * SECOND)


def test_bookings_follow_the_average_use(gate: RateGate) -> None:
    taught(gate, headers(outward=(6_000, 0)))
    for number in range(40):
        at = NOW + (number + 1) * 20 * SECOND
        admission = admit(gate, outward=1_000, now=at, booked=True)
        admission.succeeded(TokenUsage(10, 250), {}, 100, now=at)
    at = NOW + 900 * SECOND
    for _ in range(6):
        admit(gate, outward=1_000, now=at)
    first, second = (wait_of(gate, outward=1_000, now=at) for _ in range(2))
    assert first == pytest.approx(10.0, abs=0.01)
    assert second - first == pytest.approx(2.5, abs=0.2)


def test_one_unused_call_hardly_changes_bookings(gate: RateGate) -> None:
    told = headers(outward=(6_000, 0))
    admit(gate).succeeded(TokenUsage(), told, 100, now=NOW)
    first, second = (wait_of(gate, outward=1_000) for _ in range(2))
    assert second - first == pytest.approx(9.0, abs=0.01)


def test_deferred_calls_of_a_user_get_separate_times(gate: RateGate) -> None:
    admit(gate, inward=6_000, outward=0, user=ADA)
    waits = [wait_of(gate, user=ADA, inward=600, outward=0) for _ in range(3)]
    assert waits == pytest.approx([6.0, 12.0, 18.0], abs=0.001)
    admit(gate, inward=600, outward=0, user=UserTokens("other", 6_000))


def test_no_wait_is_longer_than_a_minute(gate: RateGate) -> None:
    taught(gate, headers(requests=(7, 0)))
    waits = [wait_of(gate) for _ in range(40)]
    assert 30 < max(waits) <= 60
    assert len(set(waits)) > 20, "the calls come back at different times"


@pytest.mark.parametrize("limit", [2, 7])
def test_waits_that_are_cut_are_spread(gate: RateGate, limit: int) -> None:
    taught(gate, headers(requests=(limit, 0)))
    waits = [wait_of(gate) for _ in range(300)]
    assert max(waits) <= 60
    assert max(Counter(round(wait, 1) for wait in waits).values()) <= 5


@pytest.mark.parametrize("retry_after_s", [21.0, 86_400.0, 1e300])
def test_one_answer_defers_calls_for_at_most_20_seconds(
    gate: RateGate, retry_after_s: float
) -> None:
    error = RateLimited("429", billing=Billing.NONE, retry_after_s=retry_after_s)
    admit(gate).failed(error, now=NOW)
    assert wait_of(gate) == pytest.approx(20.0)
    admit(gate, now=NOW + 20 * SECOND, booked=True)


@pytest.mark.parametrize("lower", [110, 500, 5_000])
def test_a_limit_lowered_by_one_answer_lasts_20_seconds(gate: RateGate, lower: int) -> None:
    taught(gate, headers())
    taught(gate, headers(inward=(lower, 0)))
    at = NOW + SECOND
    admit(gate, inward=9_000, now=at)
    waits = [wait_of(gate, inward=9_000, now=at) for _ in range(40)]
    assert min(waits) > 9
    assert max(waits) <= 19
    assert len(set(waits)) > 20, "the calls come back at different times"
    later = NOW + 20 * SECOND
    for _ in range(40):
        admit(gate, inward=9_000, now=later)
    assert per_minute(gate, now=later)[1] == 1_000_000


def test_a_limit_that_two_answers_lower_holds(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 60)))
    for remaining in (6, 5):
        taught(gate, headers(requests=(6, remaining)))
    assert per_minute(gate, now=NOW + 25 * SECOND)[0] == 6


@pytest.mark.parametrize("odd", ["0", "1", "99", "-5", "1_000", "٣", "9" * 4_000, "1e9", "nan", ""])
def test_an_impossible_limit_is_not_learned(gate: RateGate, odd: str) -> None:
    named = headers()
    told = {key: odd if "tokens" in key else "99999" for key in named}
    admit(gate, inward=3_000, outward=3_000).succeeded(TokenUsage(100, 100), told, 5, now=NOW)
    for _ in range(20):
        admit(gate, inward=3_000, outward=3_000)


def test_a_call_over_the_user_rate_takes_no_trial(state: SharedState) -> None:
    gate = RateGate(state, policy=BreakerPolicy(first_trials=1))
    for _ in range(10):
        admit(gate).failed(Overloaded("no"), now=NOW)
    at = NOW + 15 * SECOND
    with pytest.raises(Deferred) as deferred:
        admit(gate, user=ADA, inward=6_000, outward=0, now=at)
    assert isinstance(deferred.value.probe, ProbeAdmission)
    deferred.value.probe.succeeded(TokenUsage(), {}, 100, now=at)
    admit(gate, user=ADA, inward=6_000, outward=0, now=at).give_back(now=at)
    gate.admit(model="claude-opus-5-5", input_tokens=6_000, output_tokens=0, user=ADA, now=at)
    with pytest.raises(Deferred) as deferred:
        admit(gate, user=ADA, now=at)
    assert deferred.value.reason == "user_tokens"
    admit(gate, now=at)


def test_unused_limits_expire_after_an_hour(raw_redis: redis.Redis, gate: RateGate) -> None:
    before = raw_redis.time()[0]
    taught(gate, headers(requests=(60, 60)))
    after = raw_redis.time()[0]
    for key in (f"aif:limits:{MODEL}", f"aif:breaker:{MODEL}"):
        assert before <= raw_redis.expiretime(key) - 3_600 <= after + 1


def test_every_key_expires(raw_redis: redis.Redis, gate: RateGate) -> None:
    error = RateLimited("429", billing=Billing.NONE, retry_after_s=2.0)
    admission = gate.admit(model=MODEL, input_tokens=9, output_tokens=9, user=ADA)
    gate.admit(model=MODEL, input_tokens=5_900, output_tokens=9, user=ADA)
    for _ in range(2):
        with pytest.raises(Deferred):
            gate.admit(model=MODEL, input_tokens=5_900, output_tokens=9, user=ADA)
    admission.failed(error)
    with pytest.raises(Deferred):
        gate.admit(model=MODEL, input_tokens=9, output_tokens=9)
    for _ in range(10):
        gate.admit(model="other", input_tokens=9, output_tokens=9).failed(Overloaded("no"))
    keys = raw_redis.keys("*")
    assert len(keys) >= 4
    assert [key for key in keys if raw_redis.pttl(key) <= 0] == []


def test_an_emptied_redis_refuses_no_call(raw_redis: redis.Redis, gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 1)))
    admission = admit(gate, user=ADA)
    raw_redis.flushdb()
    admission.succeeded(TokenUsage(10, 10), {}, 100, now=NOW)
    assert [key for key in raw_redis.keys("*") if b"breaker" not in key] == []
    admit(gate, user=ADA)


def _takes(url: str) -> Callable[[], bool]:
    gate = RateGate(connect(url, {}))

    def take() -> bool:
        with suppress(Deferred):
            admit(gate, inward=50, outward=50, user=UserTokens("rush", 13_700))
            return True
        return False

    return take


def test_concurrent_processes_never_exceed_a_user_rate(gate: RateGate) -> None:
    allowed = rush(_takes, settings.REDIS_URL, each=100)
    assert sum(allowed) == 137


def test_concurrent_processes_never_exceed_a_provider_limit(gate: RateGate) -> None:
    taught(gate, headers(requests=(600, 43)))
    assert sum(rush(_takes, settings.REDIS_URL, each=100)) == 43
