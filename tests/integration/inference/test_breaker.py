"""The breaker in Redis: the same as the model, one for all processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from django.conf import settings
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from tests.integration.inference.rush import rush
from workers.inference.admission import GateAdmission, ProbeAdmission
from workers.inference.breaker import BreakerDecision, BreakerModel, BreakerPolicy, Forced
from workers.inference.breaker_trips import BreakerTrips
from workers.inference.errors import (
    Billing,
    Cancelled,
    DeadlineReached,
    Deferred,
    InferenceError,
    Overloaded,
    RateLimited,
)
from workers.inference.rate_gate import FARTHEST_US, RateGate
from workers.inference.shared_state import SharedState, connect
from workers.inference.token_bucket import SECOND
from workers.inference.types import TokenUsage

pytestmark = pytest.mark.slow

NOW = 1_800_000_000 * SECOND
MODEL, SONNET = "claude-haiku-5-5", "claude-sonnet-5-5"
POLICY = BreakerPolicy()
SMALL = BreakerPolicy(size=6, minimum=4, trials=3)
ENDS = {
    "0": lambda admission, now: admission.succeeded(TokenUsage(), {}, 100, now=now),
    "1": lambda admission, now: admission.failed(Overloaded("no"), now=now),
    "2": lambda admission, now: admission.succeeded(TokenUsage(), {}, 60_001, now=now),
    "3": lambda admission, now: admission.failed(Overloaded("no", latency_ms=60_001), now=now),
    "": lambda admission, now: admission.give_back(now=now),
}
NEVER_SLOW = str.maketrans("23", "01")
OPENED_AT = NOW + POLICY.open_us


def admit(
    gate: RateGate, *, model: str = MODEL, fallback: bool = False, now: int = NOW
) -> GateAdmission:
    return gate.admit(model=model, input_tokens=1, output_tokens=1, fallback=fallback, now=now)


def end(admission: GateAdmission, outcome: str, *, now: int = NOW) -> None:
    ENDS[outcome](admission, now)


def opened(gate: RateGate, *, model: str = MODEL, now: int = NOW) -> None:
    """Open a breaker with ten failures."""
    for _ in range(POLICY.minimum):
        end(admit(gate, model=model, now=now), "1", now=now)


def refused(
    gate: RateGate, *, model: str = MODEL, fallback: bool = False, now: int = OPENED_AT
) -> Deferred:
    """Return the deferral of a call."""
    with pytest.raises(Deferred) as deferred:
        admit(gate, model=model, fallback=fallback, now=now)
    assert (deferred.value.reason, deferred.value.scope) == ("breaker", model)
    return deferred.value


def tried(gate: RateGate, **options: Any) -> tuple[Any, Deferred | None]:
    """Return the admission, of the call or of a probe, and the deferral of the call."""
    try:
        return admit(gate, **options), None
    except Deferred as deferred:
        return deferred.probe, deferred


def probe(
    gate: RateGate,
    outcome: str,
    *,
    model: str = MODEL,
    fallback: bool = False,
    now: int = OPENED_AT,
) -> None:
    """Send the probe that is due, with an answer, a failure or no verdict."""
    admission = refused(gate, model=model, fallback=fallback, now=now).probe
    assert isinstance(admission, ProbeAdmission)
    end(admission, outcome, now=now)


@pytest.fixture
def half_open(gate: RateGate) -> RateGate:
    """A gate whose breaker has admitted a probe, which was answered."""
    opened(gate)
    probe(gate, "0")
    return gate


def begin(admission: GateAdmission, *texts: str) -> None:
    """Receive the first texts of a trial call's answer."""
    sink = admission.sink(None)
    assert sink is not None
    for text in texts or ("The",):
        sink(text)


def let_through(gate: RateGate, *, now: int) -> list[GateAdmission]:
    """Admit calls until one is deferred."""
    admissions: list[GateAdmission] = []
    with suppress(Deferred):
        while len(admissions) < POLICY.minimum:
            admissions.append(admit(gate, now=now))
    return admissions


def closed_again(gate: RateGate, *, model: str = MODEL, now: int = OPENED_AT) -> None:
    probe(gate, "0", model=model, now=now)
    for _ in range(POLICY.trials):
        end(admit(gate, model=model, now=now), "0", now=now)
    assert gate.breaker(model, now=now).state == "closed"


def open_for(gate: RateGate, *, model: str = MODEL, now: int) -> float:
    """Return the seconds until a probe may be sent."""
    seen = gate.breaker(model, now=now)
    assert seen.state == "open"
    return seen.open_for_s


Step = tuple[str, int, str, int, int]
"""The event, the model, the outcome, the call, and the microseconds since the last step."""


def spelled_out(steps: list[Step]) -> Iterator[Step]:
    """Replace an answered call, and an outage of a model, by their single steps.

    Otherwise few breakers would open, and fewer would close again.
    """
    for what, one, outcome, which, later in steps:
        if what not in {"answer", "outage"}:
            yield what, one, outcome, which, later
            continue
        for number in range(SMALL.minimum if what == "outage" else 1):
            yield "admit", one, "", 0, 0 if number else later
            yield "end", one, "1" if what == "outage" else "0", -1, 0


@pytest.mark.timeout(600)  # many examples
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    *("admit", "admit", "fall back", "held open", "begin", "end", "end"),
                    *("answer", "outage"),
                ]
            ),
            st.sampled_from([0, 0, 1]),
            st.sampled_from(["0", "0", "1", "1", "2", "3", ""]),
            st.integers(0, 30),
            st.sampled_from([0, 0, 0, 1, SECOND, 5 * SECOND, 15 * SECOND, 61 * SECOND]),
        ),
        min_size=10,
        max_size=60,
    )
)
@hypothesis(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_redis_and_the_model_agree(
    raw_redis: redis.Redis, state: SharedState, steps: list[Step]
) -> None:
    raw_redis.flushdb()
    held: Forced = ""
    gate, trips, now = RateGate(state, policy=SMALL, forced=lambda _: held), BreakerTrips(), NOW
    models = [BreakerModel(SMALL, name, trips) for name in (MODEL, SONNET)]
    under_way: list[tuple[GateAdmission, BreakerModel, str, BreakerDecision]] = []
    for number, (what, one, outcome, which, later) in enumerate(spelled_out(steps)):
        now, model = now + later, models[one]
        if what in {"admit", "fall back", "held open"}:
            fallback, lease = what == "fall back", str(number)
            held = "open" if what == "held open" else ""
            look = model.admit(
                lease, now=now, farthest=FARTHEST_US, fallback=fallback, held_open=bool(held)
            )
            admission, deferred = tried(gate, model=model.model, fallback=fallback, now=now)
            held = ""
            if deferred is not None:
                assert round(deferred.wait_s * SECOND) == look.wait
                assert deferred.outage == (trips.outage and what != "held open")
            assert (admission is None) == (look.way == "wait")
            assert isinstance(admission, ProbeAdmission) == (look.way == "probe")
            if admission is not None:
                under_way.append((admission, model, lease, look))
        elif what == "begin" and under_way:
            admission, model, lease, look = under_way[which % len(under_way)]
            sink = admission.sink(None)
            assert (sink is not None) == (look.way == "trial")
            if sink is not None:
                sink("text")
                model.begun(lease)
        elif what == "end" and under_way:
            admission, model, lease, look = under_way.pop(which % len(under_way))
            end(admission, outcome, now=now)
            # A probe has its own deadline, so it is never slow.
            seen_as = (
                outcome.translate(NEVER_SLOW) if isinstance(admission, ProbeAdmission) else outcome
            )
            model.record(lease, look.since, seen_as, now=now)
        for model in models:
            seen = gate.breaker(model.model, now=now)
            assert seen.state == model.state
            assert seen.calls == len(model.ring)
            assert seen.open_for_s * SECOND == pytest.approx(
                max(model.open_until - now, 0) if model.state == "open" else 0
            )
        assert bool(gate.outage()) == trips.outage


@pytest.mark.parametrize(
    ("outcomes", "becomes"),
    [
        ("1" * 9, "closed"),
        ("1" * 10, "open"),
        ("0" * 5 + "1" * 5, "open"),
        ("0" * 6 + "1" * 5, "closed"),
        ("0" * 3 + "2" * 7, "closed"),
        ("0" * 2 + "2" * 8, "open"),
        ("0" * 50 + "110" * 12, "closed"),
        ("0" * 50 + "110" * 12 + "1", "open"),
        ("0" * 50 + "1" * 9, "closed"),
        ("0" * 50 + "1" * 10, "open"),
    ],
)
def test_a_breaker_opens_at_its_rates(gate: RateGate, outcomes: str, becomes: str) -> None:
    for outcome in outcomes:
        end(admit(gate), outcome)
    assert gate.breaker(MODEL, now=NOW).state == becomes


@pytest.mark.parametrize("forced", ["", "open"])
def test_while_open_calls_are_deferred_one_by_one(state: SharedState, forced: Forced) -> None:
    gate = RateGate(state, forced=lambda _: forced)
    if not forced:
        opened(gate)
    deferred = [refused(gate, now=NOW) for _ in range(3)]
    assert [each.wait_s for each in deferred] == pytest.approx([5.0, 5.05, 5.1])
    assert {each.probe for each in deferred} == {None}


def test_after_the_open_time_one_probe_is_sent_at_a_time(gate: RateGate) -> None:
    opened(gate)
    assert refused(gate, now=OPENED_AT - 1).probe is None
    first = refused(gate)
    assert first.probe is not None
    second = refused(gate)
    assert second.probe is None
    assert second.wait_s == pytest.approx(POLICY.recheck_s)
    seen = gate.breaker(MODEL, now=OPENED_AT)
    assert (seen.state, seen.probes, seen.trials) == ("half_open", 1, 0)


def test_each_failed_probe_has_the_same_open_time(gate: RateGate) -> None:
    opened(gate)
    now = OPENED_AT
    for _ in range(10):
        probe(gate, "1", now=now)
        assert open_for(gate, now=now) == POLICY.open_s
        now += POLICY.open_us
    assert gate.breaker(MODEL, now=now).calls == POLICY.minimum, "what opened it is still shown"


def test_a_probe_without_a_verdict_makes_room_for_the_next(gate: RateGate) -> None:
    opened(gate)
    probe(gate, "")
    probe(gate, "1")


def test_a_rate_limited_probe_delays_the_next(gate: RateGate) -> None:
    opened(gate)
    admission = refused(gate).probe
    assert isinstance(admission, ProbeAdmission)
    admission.failed(RateLimited("429", billing=Billing.NONE), now=OPENED_AT)
    with pytest.raises(Deferred) as deferred:
        admit(gate, now=OPENED_AT)
    assert (deferred.value.reason, deferred.value.probe) == ("provider_limit", None)
    assert deferred.value.wait_s == pytest.approx(POLICY.recheck_s)
    probe(gate, "0", now=OPENED_AT + POLICY.recheck_us)


def test_each_answer_admits_two_more_trial_calls(half_open: RateGate) -> None:
    first = [admit(half_open, now=OPENED_AT) for _ in range(2)]
    assert refused(half_open).probe is None
    end(first[0], "0", now=OPENED_AT)
    for _ in range(2):
        admit(half_open, now=OPENED_AT)
    refused(half_open)


def test_a_begun_answer_admits_more_trial_calls(half_open: RateGate) -> None:
    """Otherwise all calls would wait for the longest of the first answers."""
    for allowed in (2, 4, 8):
        admissions = [admit(half_open, now=OPENED_AT) for _ in range(allowed)]
        refused(half_open)
        for admission in admissions:
            begin(admission, "The", " board")
    assert half_open.breaker(MODEL, now=OPENED_AT).state == "half_open", "no answer has ended yet"


def test_a_begun_answer_that_fails_admits_no_more(half_open: RateGate) -> None:
    first = [admit(half_open, now=OPENED_AT) for _ in range(2)]
    for admission in first:
        begin(admission)
    end(first[0], "1", now=OPENED_AT)
    for _ in range(2):
        admit(half_open, now=OPENED_AT)
    refused(half_open)


def test_each_new_half_open_begins_with_a_probe(half_open: RateGate) -> None:
    for _ in range(2):
        end(admit(half_open, now=OPENED_AT), "1", now=OPENED_AT)
    later = OPENED_AT + 2 * POLICY.open_us
    assert refused(half_open, now=later).probe is not None
    assert refused(half_open, now=later).probe is None


def test_trial_calls_of_an_earlier_half_open_do_not_count(half_open: RateGate) -> None:
    first = [admit(half_open, now=OPENED_AT) for _ in range(2)]
    for admission in first:
        begin(admission)
    stragglers = [admit(half_open, now=OPENED_AT) for _ in range(2)]
    for admission in first:
        end(admission, "1", now=OPENED_AT)
    later = OPENED_AT + 2 * POLICY.open_us
    probe(half_open, "0", now=later)
    for admission in stragglers:
        end(admission, "1", now=later)
    assert half_open.breaker(MODEL, now=later).state == "half_open"


@pytest.mark.parametrize(
    ("outcomes", "becomes"),
    [
        ("00000", "closed"),
        ("00110", "closed"),
        ("00111", "open"),
        ("22222", "open"),
        ("11", "open"),
        ("0111", "open"),
        ("0000", "half_open"),
    ],
)
def test_the_first_trial_calls_decide(half_open: RateGate, outcomes: str, becomes: str) -> None:
    admissions = []
    for outcome in outcomes:
        admissions.append(admit(half_open, now=OPENED_AT))
        end(admissions[-1], outcome, now=OPENED_AT)
    assert half_open.breaker(MODEL, now=OPENED_AT).state == becomes


def test_failed_trials_leave_one_trial_call_at_a_time(gate: RateGate) -> None:
    opened(gate)
    now, rounds = OPENED_AT, []
    for _ in range(4):
        probe(gate, "0", now=now)
        trials = let_through(gate, now=now)
        for admission in trials:
            end(admission, "3", now=now + 60 * SECOND)
        now += 60 * SECOND
        rounds.append((len(trials), open_for(gate, now=now)))
        now += POLICY.open_us
    assert rounds == [(POLICY.first_trials, POLICY.open_s)] + [(1, POLICY.open_s)] * 3
    closed_again(gate, now=now)
    opened(gate, now=now)
    now += round(open_for(gate, now=now) * SECOND)
    probe(gate, "0", now=now)
    assert len(let_through(gate, now=now)) == POLICY.first_trials


def test_a_breaker_that_reopens_soon_stays_open_longer(gate: RateGate) -> None:
    opened(gate)
    closed_again(gate)
    now = OPENED_AT + POLICY.healthy_us - 1
    opened(gate, now=now)
    assert open_for(gate, now=now) == 2 * POLICY.open_s
    now += 2 * POLICY.open_us
    closed_again(gate, now=now)
    now += POLICY.healthy_us
    opened(gate, now=now)
    assert open_for(gate, now=now) == POLICY.open_s


@pytest.mark.parametrize("begins", [0, 1])
def test_a_lost_probe_or_trial_is_free_after_its_lease(gate: RateGate, begins: int) -> None:
    opened(gate)
    later = OPENED_AT + POLICY.lease_us
    if begins:
        probe(gate, "0")
        for _ in range(2):
            admit(gate, now=OPENED_AT)
        refused(gate, now=later - 1)
        admit(gate, now=later)
    else:
        refused(gate)
        assert refused(gate, now=later - 1).probe is None
        assert refused(gate, now=later).probe is not None


def test_a_trial_that_ends_after_its_lease_counts(half_open: RateGate) -> None:
    """Otherwise a model whose calls outlast a lease would stay half open."""
    slow = [admit(half_open, now=OPENED_AT) for _ in range(2)]
    later = OPENED_AT + POLICY.lease_us
    slow += [admit(half_open, now=later) for _ in range(2)]
    for admission in slow:
        end(admission, "0", now=later + 1)
    end(admit(half_open, now=later + 2), "0", now=later + 2)
    assert half_open.breaker(MODEL, now=later + 2).state == "closed"


@pytest.mark.parametrize(
    "error",
    [
        Cancelled("stopped", reason="switch"),
        RateLimited("429", billing=Billing.NONE),
        DeadlineReached("the job had 2 s left", latency_ms=2_000),
    ],
)
def test_a_trial_without_a_verdict_is_free(half_open: RateGate, error: InferenceError) -> None:
    trials = [admit(half_open, now=OPENED_AT) for _ in range(2)]
    trials[0].failed(error, now=OPENED_AT)
    admit(half_open, now=OPENED_AT)
    refused(half_open)


def test_stragglers_of_the_outage_do_not_open_it_again(gate: RateGate) -> None:
    stragglers = [admit(gate) for _ in range(20)]
    opened(gate)
    closed_again(gate)
    for straggler in stragglers:
        end(straggler, "1", now=OPENED_AT + 1)
    seen = gate.breaker(MODEL, now=OPENED_AT + 1)
    assert (seen.state, seen.calls) == ("closed", 0)


def test_two_models_failing_together_are_an_outage(gate: RateGate, state: SharedState) -> None:
    opened(gate)
    assert not refused(gate, now=NOW).outage
    assert refused(gate, now=NOW).next_model
    later = NOW + POLICY.together_us
    opened(gate, model=SONNET, now=later)
    another_process = RateGate(state)
    for model in (MODEL, SONNET):
        deferred = refused(another_process, model=model, now=later)
        assert (deferred.outage, deferred.next_model) == (True, False)
        if isinstance(deferred.probe, ProbeAdmission):
            end(deferred.probe, "", now=later)
    assert another_process.outage() == (MODEL, SONNET)
    closed_again(gate, now=later)
    assert another_process.outage() == ()
    assert refused(another_process, model=SONNET, now=later).next_model


def test_two_models_that_fail_apart_are_no_outage(gate: RateGate) -> None:
    opened(gate)
    later = NOW + POLICY.together_us + 1
    opened(gate, model=SONNET, now=later)
    assert refused(gate, model=SONNET, now=later).next_model
    probe(gate, "1", now=later)
    assert refused(gate, model=SONNET, now=later).outage, "both have failed within a minute now"


def test_the_last_failure_counts_for_an_outage(gate: RateGate) -> None:
    opened(gate)
    later = NOW + 2 * POLICY.together_us
    probe(gate, "1", now=later)
    opened(gate, model=SONNET, now=later + POLICY.together_us)
    assert gate.outage() == (MODEL, SONNET)


def test_a_closed_model_and_a_failing_one_are_no_outage(gate: RateGate) -> None:
    opened(gate)
    closed_again(gate)
    opened(gate, model=SONNET, now=OPENED_AT + 1)
    assert gate.outage() == ()


def test_a_model_is_probed_before_calls_fall_back_to_it(gate: RateGate) -> None:
    """Otherwise ten whole jobs would find that the next, dearer model is down."""
    opened(gate)
    admit(gate, model=SONNET)
    probe(gate, "0", model=SONNET, fallback=True, now=NOW)
    for _ in range(2):
        end(admit(gate, model=SONNET, fallback=True), "0")
    for _ in range(4):
        admit(gate, model=SONNET, fallback=True)
    assert refused(gate, model=SONNET, fallback=True, now=NOW).probe is None
    admit(gate, model=SONNET)
    assert refused(gate, now=NOW).next_model


def test_a_model_that_passed_its_trials_takes_all_fallbacks(gate: RateGate) -> None:
    opened(gate)
    probe(gate, "0", model=SONNET, fallback=True, now=NOW)
    for _ in range(POLICY.trials):
        end(admit(gate, model=SONNET, fallback=True), "0")
    for _ in range(50):
        admit(gate, model=SONNET, fallback=True)


def test_a_fallback_model_is_tried_for_each_opening(gate: RateGate) -> None:
    opened(gate)
    probe(gate, "0", model=SONNET, fallback=True, now=NOW)
    for _ in range(POLICY.trials):
        end(admit(gate, model=SONNET, fallback=True), "0")
    probe(gate, "1")
    for _ in range(50):
        admit(gate, model=SONNET, fallback=True, now=OPENED_AT)
    later = OPENED_AT + POLICY.open_us
    closed_again(gate, now=later)
    opened(gate, now=later)
    assert refused(gate, model=SONNET, fallback=True, now=later).probe is not None


def test_trial_results_before_the_last_probe_do_not_count(gate: RateGate) -> None:
    opened(gate)
    probe(gate, "0", model=SONNET, fallback=True, now=NOW)
    end(admit(gate, model=SONNET, fallback=True), "1")
    closed_again(gate)
    opened(gate, now=OPENED_AT)
    probe(gate, "0", model=SONNET, fallback=True, now=OPENED_AT)
    end(admit(gate, model=SONNET, fallback=True, now=OPENED_AT), "1", now=OPENED_AT)
    assert gate.breaker(SONNET, now=OPENED_AT).state == "closed", "it takes two"


def test_a_fallback_model_that_fails_its_trials_opens(gate: RateGate) -> None:
    opened(gate)
    probe(gate, "0", model=SONNET, fallback=True, now=NOW)
    for _ in range(POLICY.first_trials):
        end(admit(gate, model=SONNET, fallback=True), "1")
    assert gate.outage() == (MODEL, SONNET)


def test_a_failed_probe_of_the_next_model_is_an_outage(gate: RateGate) -> None:
    opened(gate)
    probe(gate, "1", model=SONNET, fallback=True, now=NOW)
    assert refused(gate, model=SONNET, fallback=True, now=NOW).outage
    assert not refused(gate, now=NOW).next_model


def test_a_call_is_counted_once(gate: RateGate) -> None:
    admission = admit(gate)
    end(admission, "1")
    end(admission, "1")
    assert gate.breaker(MODEL, now=NOW).calls == 1


def test_a_change_is_logged_once(gate: RateGate, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        opened(gate)
        closed_again(gate)
    of_the_gate = [r for r in caplog.records if r.name == "workers.inference.rate_gate"]
    assert [record.getMessage() for record in of_the_gate] == [
        f"breaker of {MODEL}: closed -> open (10 calls: 10 failed, 0 slow)",
        f"breaker of {MODEL}: open -> half_open (0 calls: 0 failed, 0 slow)",
        f"breaker of {MODEL}: half_open -> closed (5 calls: 0 failed, 0 slow)",
    ]


def test_forced_open_allows_the_next_model(state: SharedState, gate: RateGate) -> None:
    opened(gate)
    opened(gate, model=SONNET)
    assert not refused(gate, now=NOW).next_model
    held = RateGate(state, forced=lambda model: "open" if model == MODEL else "")
    assert refused(held, now=NOW).next_model


def test_bookings_end_with_forced_open(state: SharedState, gate: RateGate) -> None:
    held = RateGate(state, forced=lambda _: "open")
    for _ in range(200):
        refused(held, now=NOW)
    opened(gate)
    assert refused(gate, now=NOW).wait_s == pytest.approx(POLICY.open_s)


def test_forced_closed_counts_nothing(state: SharedState, gate: RateGate) -> None:
    decided: Forced = "closed"
    held = RateGate(state, forced=lambda _: decided)
    for _ in range(20):
        end(admit(held), "1")
    assert held.breaker(MODEL, now=NOW).calls == 0
    opened(gate)
    for _ in range(60):
        end(admit(held), "0")
    assert held.breaker(MODEL, now=NOW).forced == "closed"
    with pytest.raises(Deferred):
        admit(gate)


def test_the_view_shows_the_cause_of_opening(gate: RateGate) -> None:
    for outcome in "0000011111":
        end(admit(gate), outcome)
    seen = gate.breaker(MODEL, now=NOW + 5 * SECOND)
    assert (seen.state, seen.calls, seen.failure_rate, seen.slow_rate) == ("open", 10, 0.5, 0.0)
    assert (seen.open_for_s, seen.shared, seen.forced) == (0.0, True, "")


def _takes(url: str) -> Callable[[], bool]:
    gate = RateGate(connect(url, {}))

    return lambda: refused(gate).probe is not None


def test_all_processes_together_get_one_probe(gate: RateGate) -> None:
    opened(gate)
    assert sum(rush(_takes, settings.REDIS_URL, each=20)) == 1
