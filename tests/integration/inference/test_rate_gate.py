"""One step for all gates: what is taken, what is given back, and who comes when."""

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

NOW = 1_800_000_000 * SECOND
MODEL = "claude-haiku-5-5"
ADA = UserTokens("summarize:1", 6_000)  # a hundred in a second


def headers(
    *, requests: tuple[int, int], inward: tuple[int, int], outward: tuple[int, int]
) -> dict[str, str]:
    """As the provider sends them: limit and remaining of each."""
    rows = {"requests": requests, "input-tokens": inward, "output-tokens": outward}
    return {
        f"anthropic-ratelimit-{name}-{what}": str(value)
        for name, row in rows.items()
        for what, value in zip(("limit", "remaining"), row, strict=True)
    }


AMPLE = (1_000_000, 1_000_000)


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
    """Seconds that a new call is told to wait."""
    with pytest.raises(Deferred) as deferred:
        admit(gate, now=now, user=user, inward=inward, outward=outward)
    return deferred.value.wait_s


def taught(gate: RateGate, told: dict[str, str], *, now: int = NOW) -> None:
    """The gate has heard these headers."""
    admit(gate, now=now).succeeded(TokenUsage(100, 100), told, 100, now=now)


def left(gate: RateGate, *, now: int = NOW) -> list[int]:
    """What remains of requests, input tokens and output tokens."""
    seen = gate.limits(MODEL, now=now)
    assert seen is not None
    return [limit.remaining for limit in seen.limits]


def test_a_user_gets_back_what_a_call_did_not_use(gate: RateGate) -> None:
    permit = admit(gate, inward=4_000, outward=2_000, user=ADA)
    assert wait_of(gate, user=ADA, inward=1_000, outward=0) == pytest.approx(10)
    permit.succeeded(TokenUsage(input_tokens=400, output_tokens=600), {}, 100, now=NOW)
    admit(gate, inward=5_000, outward=0, user=ADA, booked=True)
    with pytest.raises(Deferred):
        admit(gate, inward=1, outward=0, user=ADA, booked=True)


def test_what_is_read_from_the_cache_costs_a_user_nothing(gate: RateGate) -> None:
    permit = admit(gate, inward=4_000, outward=2_000, user=ADA)
    permit.succeeded(TokenUsage(0, 0, 4_000, 500), {}, 100, now=NOW)
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
def test_a_user_pays_for_their_own_aborts_and_for_no_failure_of_the_provider(
    gate: RateGate, error: Exception, kept: int
) -> None:
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


def test_what_one_gate_refuses_has_taken_nothing_from_the_others(gate: RateGate) -> None:
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


def test_an_unknown_limit_lets_everything_pass(gate: RateGate) -> None:
    for _ in range(100):
        admit(gate, inward=1_000_000, outward=100_000)


def test_the_first_headers_set_the_level_and_the_bound_is_taken_from_it(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 30), inward=(10_000, 4_000), outward=(2_000, 2_000)))
    assert left(gate) == [30, 4_000, 2_000]
    admit(gate, inward=3_000, outward=700)
    assert left(gate) == [29, 1_000, 1_300]
    assert wait_of(gate, inward=2_000, outward=0) == pytest.approx(6.0, abs=0.001)


def test_at_its_end_a_call_gives_back_what_it_did_not_use_of_the_limits(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 60), inward=(10_000, 10_000), outward=(2_000, 2_000)))
    permit = admit(gate, inward=8_000, outward=1_000)
    permit.succeeded(TokenUsage(1_500, 100, 5_000, 500), {}, 100, now=NOW)
    assert left(gate) == [59, 8_000, 1_900]


def test_limits_refill_over_a_minute(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 0), inward=AMPLE, outward=AMPLE))
    with pytest.raises(Deferred):
        admit(gate, now=NOW + SECOND - 100)
    admit(gate, now=NOW + SECOND, booked=True)


def test_a_new_limit_holds_from_its_first_header_on(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 60), inward=AMPLE, outward=AMPLE))
    taught(gate, headers(requests=(6, 6), inward=AMPLE, outward=AMPLE))
    seen = gate.limits(MODEL, now=NOW)
    assert seen is not None
    assert seen.limits[0].per_minute == 6


def test_headers_never_raise_our_own_accounting(gate: RateGate) -> None:
    told = headers(requests=(60, 60), inward=AMPLE, outward=AMPLE)
    taught(gate, told)
    for _ in range(10):
        admit(gate)
    taught(gate, told)
    assert left(gate)[0] == 49


def test_what_others_take_with_the_same_key_is_taken_from_ours(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 60), inward=AMPLE, outward=AMPLE))
    told = headers(requests=(60, 20), inward=AMPLE, outward=AMPLE)
    permits = [admit(gate) for _ in range(2)]
    permits[0].succeeded(TokenUsage(), told, 100, now=NOW)
    assert left(gate)[0] == 58, "one sample says little"
    permits[1].succeeded(TokenUsage(), told, 100, now=NOW + 2 * SECOND)
    # Ours was 58 after its take; the provider's is less than 21.
    assert left(gate, now=NOW + 2 * SECOND)[0] in {60 - (58 - 21), 60 - (58 - 21) - 1}


def test_a_gap_that_closes_within_the_window_changes_nothing(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 60), inward=AMPLE, outward=AMPLE))
    permits = [admit(gate) for _ in range(3)]
    for permit, remaining, later in zip(permits, (20, 58, 20), (0, 1, 2), strict=True):
        told = headers(requests=(60, remaining), inward=AMPLE, outward=AMPLE)
        permit.succeeded(TokenUsage(), told, 100, now=NOW + later * SECOND)
    assert left(gate, now=NOW + 2 * SECOND)[0] in {58, 59}


def test_calls_under_way_are_no_gap(gate: RateGate) -> None:
    """The provider has seen less than we have taken: the difference is ours, not another's."""
    taught(gate, headers(requests=(60, 60), inward=AMPLE, outward=AMPLE))
    permits = [admit(gate) for _ in range(40)]
    for number, permit in enumerate(permits):
        told = headers(requests=(60, 59 - number), inward=AMPLE, outward=AMPLE)
        permit.succeeded(TokenUsage(), told, 100, now=NOW + number * SECOND // 10)
    assert left(gate, now=NOW + 4 * SECOND)[0] in {23, 24}


def test_what_the_provider_rounds_down_is_no_gap(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 30), inward=AMPLE, outward=AMPLE))
    for half_seconds, remaining in ((1, 29), (5, 30)):
        at = NOW + half_seconds * SECOND // 2
        told = headers(requests=(60, remaining), inward=AMPLE, outward=AMPLE)
        admit(gate, now=at).succeeded(TokenUsage(), told, 100, now=at)
    assert left(gate, now=NOW + 3 * SECOND)[0] == 31


def test_headers_of_a_long_calls_beginning_are_no_gap(gate: RateGate) -> None:
    """What was refilled meanwhile was refilled there as well."""
    taught(gate, headers(requests=(60, 30), inward=AMPLE, outward=AMPLE))
    permits = [admit(gate) for _ in range(2)]
    told = headers(requests=(60, 28), inward=AMPLE, outward=AMPLE)
    for permit, later in zip(permits, (20, 23), strict=True):
        permit.succeeded(TokenUsage(), told, 100, now=NOW + later * SECOND)
    assert left(gate, now=NOW + 23 * SECOND)[0] == 51


def test_headers_of_a_calls_end_that_know_of_our_later_calls_are_no_gap(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 60), inward=AMPLE, outward=AMPLE))
    permits = [admit(gate) for _ in range(22)]
    for permit, later, remaining in zip(permits[:2], (0, 2), (38, 40), strict=True):
        told = headers(requests=(60, remaining), inward=AMPLE, outward=AMPLE)
        permit.succeeded(TokenUsage(), told, 100, now=NOW + later * SECOND)
    assert left(gate, now=NOW + 2 * SECOND)[0] in {39, 40}


def test_a_rate_limit_keeps_all_away_for_as_long_as_the_provider_asks(gate: RateGate) -> None:
    error = RateLimited("429", billing=Billing.NONE, retry_after_s=7.0)
    admit(gate).failed(error, now=NOW)
    first, second = wait_of(gate), wait_of(gate)
    assert first == pytest.approx(7.0)
    assert second > first, "each comes at a moment of its own"
    with pytest.raises(Deferred):
        admit(gate, now=NOW + 7 * SECOND - 1, booked=True)
    admit(gate, now=NOW + 7 * SECOND, booked=True)


def test_a_rate_limit_corrects_our_level_at_once(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 60), inward=(10_000, 10_000), outward=AMPLE))
    told = headers(requests=(60, 50), inward=(10_000, 200), outward=AMPLE)
    error = RateLimited("429", billing=Billing.NONE, retry_after_s=1.0, rate_limits=told)
    admit(gate, inward=3_000).failed(error, now=NOW)
    assert left(gate)[1] in {200, 201}


def test_those_who_do_not_fit_are_told_moments_apart(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 0), inward=AMPLE, outward=AMPLE))
    waits = [wait_of(gate) for _ in range(4)]
    assert waits == pytest.approx([1.0, 2.0, 3.0, 4.0], abs=0.001)


def test_a_large_call_gets_its_turn_among_small_ones(gate: RateGate) -> None:
    """It is let in at its time, though small ones would have fitted all along."""
    taught(gate, headers(requests=AMPLE, inward=AMPLE, outward=(6_000, 0)))
    at = NOW + round(wait_of(gate, outward=3_000) * SECOND)
    assert at == pytest.approx(NOW + 30 * SECOND, abs=1_000)
    for tenth in range(1, 300, 10):
        assert wait_of(gate, outward=10, now=NOW + tenth * SECOND // 10) > 0
    admit(gate, outward=3_000, booked=True, now=at)


def test_who_comes_new_queues_behind_those_who_were_booked(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 0), inward=AMPLE, outward=AMPLE))
    for _ in range(10):
        wait_of(gate)
    later = NOW + SECOND
    assert wait_of(gate, now=later) == pytest.approx(10.0, abs=0.001)
    admit(gate, now=later, booked=True)


def test_a_bucket_that_is_more_than_half_full_makes_nobody_wait(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 0), inward=AMPLE, outward=AMPLE))
    for _ in range(60):
        wait_of(gate)
    assert wait_of(gate, now=NOW + 29 * SECOND) > 30
    admit(gate, now=NOW + 31 * SECOND)


def test_bookings_come_as_close_as_calls_are_found_to_use(gate: RateGate) -> None:
    taught(gate, headers(requests=AMPLE, inward=AMPLE, outward=(6_000, 0)))
    for number in range(40):
        at = NOW + (number + 1) * 20 * SECOND
        permit = admit(gate, outward=1_000, now=at, booked=True)
        permit.succeeded(TokenUsage(10, 250), {}, 100, now=at)
    at = NOW + 900 * SECOND
    for _ in range(6):
        admit(gate, outward=1_000, now=at)
    first, second = (wait_of(gate, outward=1_000, now=at) for _ in range(2))
    assert first == pytest.approx(10.0, abs=0.01)
    assert second - first == pytest.approx(2.5, abs=0.2)


def test_one_call_that_used_nothing_brings_bookings_hardly_closer(gate: RateGate) -> None:
    told = headers(requests=AMPLE, inward=AMPLE, outward=(6_000, 0))
    admit(gate).succeeded(TokenUsage(), told, 100, now=NOW)
    first, second = (wait_of(gate, outward=1_000) for _ in range(2))
    assert second - first == pytest.approx(9.0, abs=0.01)


def test_users_who_do_not_fit_are_told_moments_apart_too(gate: RateGate) -> None:
    admit(gate, inward=6_000, outward=0, user=ADA)
    waits = [wait_of(gate, user=ADA, inward=600, outward=0) for _ in range(3)]
    assert waits == pytest.approx([6.0, 12.0, 18.0], abs=0.001)
    admit(gate, inward=600, outward=0, user=UserTokens("other", 6_000))


def test_nobody_is_told_to_wait_for_longer_than_a_minute(gate: RateGate) -> None:
    """A limit that one answer named may be wrong, and jobs have deadlines."""
    taught(gate, headers(requests=(7, 0), inward=AMPLE, outward=AMPLE))
    waits = [wait_of(gate) for _ in range(40)]
    assert 30 < max(waits) <= 60
    assert len(set(waits)) > 20, "they do not all come back at once"


@pytest.mark.parametrize("limit", [2, 7])
def test_a_long_queue_whose_waits_are_cut_comes_back_spread(gate: RateGate, limit: int) -> None:
    """Also where its bookings are farther than any is kept, or thirty seconds apart."""
    taught(gate, headers(requests=(limit, 0), inward=AMPLE, outward=AMPLE))
    waits = [wait_of(gate) for _ in range(300)]
    assert max(waits) <= 60
    assert max(Counter(round(wait, 1) for wait in waits).values()) <= 5


@pytest.mark.parametrize("asked_s", [21.0, 86_400.0, 1e300])
def test_one_answer_keeps_others_away_for_twenty_seconds_at_most(
    gate: RateGate, asked_s: float
) -> None:
    error = RateLimited("429", billing=Billing.NONE, retry_after_s=asked_s)
    admit(gate).failed(error, now=NOW)
    assert wait_of(gate) == pytest.approx(20.0)
    admit(gate, now=NOW + 20 * SECOND, booked=True)


@pytest.mark.parametrize("lower", [110, 500, 5_000])
def test_a_limit_that_one_answer_lowers_keeps_others_away_for_twenty_seconds_at_most(
    gate: RateGate, lower: int
) -> None:
    taught(gate, headers(requests=AMPLE, inward=AMPLE, outward=AMPLE))
    taught(gate, headers(requests=AMPLE, inward=(lower, 0), outward=AMPLE))
    at = NOW + SECOND
    admit(gate, inward=9_000, now=at)
    waits = [wait_of(gate, inward=9_000, now=at) for _ in range(40)]
    assert min(waits) > 9
    assert max(waits) <= 19
    assert len(set(waits)) > 20, "they do not all come back at once"
    later = NOW + 20 * SECOND
    for _ in range(40):
        admit(gate, inward=9_000, now=later)
    seen = gate.limits(MODEL, now=later)
    assert seen is not None
    assert seen.limits[1].per_minute == 1_000_000


def test_a_limit_that_two_answers_lower_holds(gate: RateGate) -> None:
    taught(gate, headers(requests=(60, 60), inward=AMPLE, outward=AMPLE))
    for remaining in (6, 5):
        taught(gate, headers(requests=(6, remaining), inward=AMPLE, outward=AMPLE))
    later = NOW + 25 * SECOND
    seen = gate.limits(MODEL, now=later)
    assert seen is not None
    assert seen.limits[0].per_minute == 6


@pytest.mark.parametrize("odd", ["0", "1", "99", "-5", "1_000", "٣", "9" * 4_000, "1e9", "nan", ""])
def test_a_limit_that_the_call_itself_proves_wrong_is_not_learned(gate: RateGate, odd: str) -> None:
    named = headers(requests=AMPLE, inward=AMPLE, outward=AMPLE)
    told = {key: odd if "tokens" in key else "99999" for key in named}
    admit(gate, inward=3_000, outward=3_000).succeeded(TokenUsage(100, 100), told, 5, now=NOW)
    for _ in range(20):
        admit(gate, inward=3_000, outward=3_000)


def test_a_trial_is_not_taken_by_a_call_that_another_gate_refuses(state: SharedState) -> None:
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


def test_limits_nobody_has_heard_of_for_an_hour_are_forgotten(
    raw_redis: redis.Redis, gate: RateGate
) -> None:
    taught(gate, headers(requests=(60, 60), inward=AMPLE, outward=AMPLE))
    assert 3_590 < raw_redis.ttl(f"aif:limits:{MODEL}") <= 3_600
    assert 3_590 < raw_redis.ttl(f"aif:breaker:{MODEL}") <= 3_600


def test_every_key_expires(raw_redis: redis.Redis, gate: RateGate) -> None:
    error = RateLimited("429", billing=Billing.NONE, retry_after_s=2.0)
    permit = gate.admit(model=MODEL, input_tokens=9, output_tokens=9, user=ADA)
    gate.admit(model=MODEL, input_tokens=5_900, output_tokens=9, user=ADA)
    for _ in range(2):
        with pytest.raises(Deferred):
            gate.admit(model=MODEL, input_tokens=5_900, output_tokens=9, user=ADA)
    permit.failed(error)
    with pytest.raises(Deferred):
        gate.admit(model=MODEL, input_tokens=9, output_tokens=9)
    for _ in range(10):
        gate.admit(model="other", input_tokens=9, output_tokens=9).failed(Overloaded("no"))
    keys = raw_redis.keys("*")
    assert len(keys) >= 4
    assert [key for key in keys if raw_redis.pttl(key) <= 0] == []


def test_an_emptied_redis_refuses_nobody_and_brings_no_error(
    raw_redis: redis.Redis, gate: RateGate
) -> None:
    taught(gate, headers(requests=(60, 1), inward=AMPLE, outward=AMPLE))
    permit = admit(gate, user=ADA)
    raw_redis.flushdb()
    permit.succeeded(TokenUsage(10, 10), {}, 100, now=NOW)
    assert [key for key in raw_redis.keys("*") if b"breaker" not in key] == []
    admit(gate, user=ADA)


def _asks(url: str) -> Callable[[], bool]:
    gate = RateGate(connect(url, {}))

    def ask() -> bool:
        with suppress(Deferred):
            admit(gate, inward=50, outward=50, user=UserTokens("rush", 13_700))
            return True
        return False

    return ask


def test_fifty_threads_in_five_processes_never_get_one_token_too_many(gate: RateGate) -> None:
    allowed = rush(_asks, settings.REDIS_URL, each=100)
    assert sum(allowed) == 137


def test_fifty_threads_in_five_processes_never_exceed_a_limit_of_the_provider(
    gate: RateGate,
) -> None:
    taught(gate, headers(requests=(600, 43), inward=AMPLE, outward=AMPLE))
    assert sum(rush(_asks, settings.REDIS_URL, each=100)) == 43
