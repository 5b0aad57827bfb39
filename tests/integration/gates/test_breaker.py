"""The breaker in Redis: the same as the model, one for all processes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext, suppress

import pytest
import redis
from django.conf import settings
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from tests.integration.gates.rush import rush
from workers.inference.breaker import BreakerModel, BreakerPolicy, Forced
from workers.inference.errors import (
    Billing,
    Cancelled,
    DeadlineReached,
    Deferred,
    InferenceError,
    Overloaded,
    RateLimited,
)
from workers.inference.gate import FARTHEST_US, Gate
from workers.inference.permit import GatePermit
from workers.inference.shared_state import SharedState, connect
from workers.inference.token_bucket import SECOND
from workers.inference.types import TokenUsage

NOW = 1_800_000_000 * SECOND
MODEL = "claude-haiku-5-5"
POLICY = BreakerPolicy()
SMALL = BreakerPolicy(size=6, minimum=4, probes=3)
ENDS = {
    "0": lambda permit, now: permit.succeeded(TokenUsage(), {}, 100, now=now),
    "1": lambda permit, now: permit.failed(Overloaded("no"), now=now),
    "2": lambda permit, now: permit.succeeded(TokenUsage(), {}, 60_001, now=now),
    "3": lambda permit, now: permit.failed(Overloaded("no", latency_ms=60_001), now=now),
    "": lambda permit, now: permit.give_back(now=now),
}
OPENED_AT = NOW + POLICY.open_us


def admit(gate: Gate, *, now: int = NOW) -> GatePermit:
    return gate.admit(model=MODEL, input_tokens=1, output_tokens=1, now=now)


def end(permit: GatePermit, outcome: str, *, now: int = NOW) -> None:
    ENDS[outcome](permit, now)


def opened(gate: Gate) -> None:
    """Ten failures at once."""
    for _ in range(POLICY.minimum):
        end(admit(gate), "1")


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["admit", "admit", "end"]),
            st.sampled_from(["0", "1", "1", "2", "3", ""]),
            st.integers(0, 30),
            st.sampled_from([0, 0, 1, SECOND, 5 * SECOND, 15 * SECOND, 120 * SECOND]),
        ),
        max_size=60,
    )
)
@hypothesis(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_redis_and_the_model_agree(
    raw_redis: redis.Redis,
    state: SharedState,
    steps: list[tuple[str, str, int, int]],
) -> None:
    raw_redis.flushdb()
    gate, model, now = Gate(state, policy=SMALL), BreakerModel(SMALL), NOW
    under_way: list[tuple[GatePermit, str, int]] = []
    for number, (what, outcome, which, later) in enumerate(steps):
        now += later
        if what == "admit":
            look = model.admit(str(number), now=now, farthest=FARTHEST_US)
            waits = pytest.raises(Deferred) if look.wait else nullcontext()
            with waits as refused:
                under_way.append((admit(gate, now=now), str(number), look.since))
            if refused is not None:
                assert round(refused.value.wait_s * SECOND) == look.wait
        elif under_way:
            permit, lease, since = under_way.pop(which % len(under_way))
            end(permit, outcome, now=now)
            model.record(lease, since, outcome, now=now)
        seen = gate.breaker(MODEL, now=now)
        assert seen.state == model.state
        assert seen.calls == len(model.ring)


@pytest.mark.parametrize(
    ("outcomes", "becomes"),
    [
        ("1" * 9, "closed"),
        ("1" * 10, "open"),
        ("0" * 5 + "1" * 5, "open"),
        ("0" * 6 + "1" * 5, "closed"),
        ("0" * 3 + "2" * 7, "closed"),
        ("0" * 2 + "2" * 8, "open"),
        ("0" * 50 + "1" * 24, "closed"),
        ("0" * 50 + "1" * 25, "open"),
    ],
)
def test_it_opens_at_its_rates_and_not_before(gate: Gate, outcomes: str, becomes: str) -> None:
    for outcome in outcomes:
        end(admit(gate), outcome)
    assert gate.breaker(MODEL, now=NOW).state == becomes


def test_while_it_is_open_nothing_is_sent_and_those_who_wait_come_back_one_by_one(
    gate: Gate,
) -> None:
    opened(gate)
    waits = []
    for _ in range(3):
        with pytest.raises(Deferred) as refused:
            admit(gate)
        assert (refused.value.reason, refused.value.scope) == ("breaker", MODEL)
        waits.append(refused.value.wait_s)
    assert waits == pytest.approx([15.0, 15.01, 15.02])


def test_after_the_open_time_five_probes_are_let_through(gate: Gate) -> None:
    opened(gate)
    with pytest.raises(Deferred):
        admit(gate, now=OPENED_AT - 1)
    for _ in range(5):
        admit(gate, now=OPENED_AT)
    with pytest.raises(Deferred) as refused:
        admit(gate, now=OPENED_AT)
    assert refused.value.wait_s == pytest.approx(POLICY.recheck_s)
    assert gate.breaker(MODEL, now=OPENED_AT).probes == 5


@pytest.mark.parametrize(
    ("outcomes", "becomes"),
    [("11000", "closed"), ("11100", "open"), ("22220", "open"), ("0011", "half_open")],
)
def test_the_results_of_all_probes_decide(gate: Gate, outcomes: str, becomes: str) -> None:
    opened(gate)
    probes = [admit(gate, now=OPENED_AT) for _ in range(5)]
    for probe, outcome in zip(probes, outcomes, strict=False):
        end(probe, outcome, now=OPENED_AT)
    assert gate.breaker(MODEL, now=OPENED_AT).state == becomes


def test_a_probe_whose_process_died_is_free_after_its_lease(gate: Gate) -> None:
    opened(gate)
    for _ in range(5):
        admit(gate, now=OPENED_AT)
    with pytest.raises(Deferred):
        admit(gate, now=OPENED_AT + POLICY.lease_us - 1)
    admit(gate, now=OPENED_AT + POLICY.lease_us)


def test_what_a_probe_tells_after_its_lease_counts(gate: Gate) -> None:
    """Else a model whose calls are longer than a lease would never be let in again."""
    opened(gate)
    slow = [admit(gate, now=OPENED_AT) for _ in range(5)]
    later = OPENED_AT + POLICY.lease_us
    for _ in range(3):
        admit(gate, now=later)
    for permit in slow:
        end(permit, "0", now=later + 1)
    assert gate.breaker(MODEL, now=later + 2).state == "closed"


@pytest.mark.parametrize(
    "error",
    [
        Cancelled("stopped", reason="switch"),
        RateLimited("429", billing=Billing.NONE),
        DeadlineReached("the job had 2 s left", latency_ms=2_000),
    ],
)
def test_a_probe_that_ends_without_a_verdict_is_free_at_once(
    gate: Gate, error: InferenceError
) -> None:
    opened(gate)
    probes = [admit(gate, now=OPENED_AT) for _ in range(5)]
    probes[0].failed(error, now=OPENED_AT)
    admit(gate, now=OPENED_AT)
    with pytest.raises(Deferred):
        admit(gate, now=OPENED_AT)


def test_stragglers_of_the_outage_do_not_open_it_again(gate: Gate) -> None:
    stragglers = [admit(gate) for _ in range(20)]
    opened(gate)
    for _ in range(5):
        end(admit(gate, now=OPENED_AT), "0", now=OPENED_AT)
    for straggler in stragglers:
        end(straggler, "1", now=OPENED_AT + 1)
    seen = gate.breaker(MODEL, now=OPENED_AT + 1)
    assert (seen.state, seen.calls) == ("closed", 0)


def test_a_call_is_counted_once_whatever_is_said_of_it_later(gate: Gate) -> None:
    permit = admit(gate)
    end(permit, "1")
    end(permit, "1")
    assert gate.breaker(MODEL, now=NOW).calls == 1


def test_a_change_is_told_once(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        opened(gate)
        for _ in range(5):
            end(admit(gate, now=OPENED_AT), "0", now=OPENED_AT)
    of_the_gate = [r for r in caplog.records if r.name == "workers.inference.gate"]
    assert [record.getMessage() for record in of_the_gate] == [
        f"breaker of {MODEL}: closed -> open (10 calls: 10 failed, 0 slow)",
        f"breaker of {MODEL}: open -> half_open (0 calls: 0 failed, 0 slow)",
        f"breaker of {MODEL}: half_open -> closed (5 calls: 0 failed, 0 slow)",
    ]


def test_it_can_be_held_open(state: SharedState) -> None:
    gate = Gate(state, forced=lambda _: "open")
    with pytest.raises(Deferred) as refused:
        admit(gate)
    assert refused.value.reason == "breaker"
    assert 15 <= refused.value.wait_s <= 30


def test_it_can_be_held_closed_and_counts_nothing_then(state: SharedState, gate: Gate) -> None:
    decided: Forced = "closed"
    held = Gate(state, forced=lambda _: decided)
    for _ in range(20):
        end(admit(held), "1")
    assert held.breaker(MODEL, now=NOW).calls == 0
    opened(gate)
    for _ in range(60):
        end(admit(held), "0")
    assert held.breaker(MODEL, now=NOW).forced == "closed"
    with pytest.raises(Deferred):
        admit(gate)


def test_the_view_tells_what_opened_it(gate: Gate) -> None:
    for outcome in "0000011111":
        end(admit(gate), outcome)
    seen = gate.breaker(MODEL, now=NOW + 5 * SECOND)
    assert (seen.state, seen.calls, seen.failure_rate, seen.slow_rate) == ("open", 10, 0.5, 0.0)
    assert (seen.open_for_s, seen.shared, seen.forced) == (10.0, True, "")


def _asks(url: str) -> Callable[[], bool]:
    gate = Gate(connect(url, {}))

    def ask() -> bool:
        with suppress(Deferred):
            admit(gate, now=OPENED_AT)
            return True
        return False

    return ask


def test_all_processes_together_get_five_probes(gate: Gate) -> None:
    opened(gate)
    assert sum(rush(_asks, settings.REDIS_URL, each=20)) == 5
