from __future__ import annotations

import runpy
from collections import Counter
from itertools import combinations, pairwise

import pytest

from project.stack.local_dir import CHECKOUT
from tests.chaos.__main__ import LONG, SHORT
from tests.chaos.plan import (
    DOWN,
    LEASE_S,
    MANNERS,
    NOTIFIES_S,
    PROVIDER_IDLE_S,
    REDIS_AWAY,
    SWITCHES,
    WEB_FREEZES,
    Fault,
    Kind,
    schedule,
)
from tests.chaos.run import Run
from workers.inference.breaker import BreakerPolicy

SEEDS = range(20)
MANY_SEEDS = range(3_000)


def made(seed: int, *, count: int = 40, span_s: float = 480.0, short: bool = False) -> list[Fault]:
    return schedule(seed=seed, count=count, span_s=span_s, short=short)


def test_a_seed_repeats_its_schedule_and_another_makes_another() -> None:
    assert made(7) == made(7)
    assert made(7) != made(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_comes_at_least_once(seed: int) -> None:
    for faults in (made(seed), made(seed, count=1, span_s=60.0, short=True)):
        assert {fault.kind for fault in faults} == set(Kind)


def test_the_faults_have_the_wanted_count_in_order_of_time() -> None:
    faults = made(3, count=55)
    assert len(faults) == 55
    assert [fault.number for fault in faults] == list(range(1, 56))
    assert faults == sorted(faults, key=lambda fault: fault.at_s)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_target_suffers_two_faults_at_once(seed: int) -> None:
    for faults in (made(seed), made(seed, span_s=60.0, short=True)):
        for one, other in combinations(faults, 2):
            if set(one.needs) & set(other.needs):
                first, second = sorted((one, other), key=lambda fault: fault.at_s)
                over = first.at_s + first.lasts_s + MANNERS[first.kind].recovers_s
                assert over <= second.at_s + 0.1 + 1e-6, (first, second)  # rounded to a tenth


def test_some_faults_of_different_targets_overlap() -> None:
    pairs = Counter(
        one.at_s <= other.at_s < one.at_s + one.lasts_s for one, other in combinations(made(1), 2)
    )
    assert pairs[True] > 5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_run_fits_its_span(seed: int) -> None:
    assert all(fault.at_s + fault.lasts_s <= 480.0 for fault in made(seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_switch_is_flipped_twice_at_least_and_never_while_it_is(seed: int) -> None:
    for faults in (made(seed), made(seed, span_s=60.0, short=True)):
        flips = [fault for fault in faults if fault.kind in SWITCHES]
        assert len(flips) >= 2
        assert all("switch" in fault.needs for fault in flips)


def test_in_a_long_run_a_switch_is_flipped_while_redis_is_away() -> None:
    within = [any(_in_an_outage(flip, made(seed)) for flip in made(seed)) for seed in SEEDS]
    assert sum(within) >= len(SEEDS) - 2  # a seed may have no outage that is long enough


def _in_an_outage(flip: Fault, faults: list[Fault]) -> bool:
    return flip.kind in SWITCHES and any(
        fault.at_s < flip.at_s and flip.at_s + flip.lasts_s < fault.at_s + fault.lasts_s
        for fault in faults
        if fault.kind in REDIS_AWAY
    )


def test_stopped_workers_sleep_through_their_leases() -> None:
    for faults in (made(1), made(1, span_s=60.0, short=True)):
        stops = [fault for fault in faults if fault.kind is Kind.LLM_STOP]
        assert stops
        assert all(fault.lasts_s > LEASE_S for fault in stops)


def planned(run: Run, seed: int) -> list[Fault]:
    return schedule(seed=seed, count=run.faults, span_s=run.span_s, short=run.short)


@pytest.mark.parametrize("run", [SHORT, LONG], ids=["short", "long"])
def test_gunicorn_never_kills_a_web_child_for_its_freezes(run: Run) -> None:
    """The longest time without a sign of life: one that was just due, and the freezes after it."""
    kills_after_s = runpy.run_path(str(CHECKOUT / "deploy/gunicorn.conf.py"))["timeout"]
    assert kills_after_s == 2 * NOTIFIES_S, "gunicorn halves it for the worker"
    for seed in MANY_SEEDS:
        freezes = [fault for fault in planned(run, seed) if fault.kind in WEB_FREEZES]
        assert len(freezes) >= 2
        for first, second in pairwise(freezes):
            silent_s = second.lasts_s
            if second.at_s < first.at_s + max(first.lasts_s, NOTIFIES_S):
                silent_s += first.lasts_s
            assert NOTIFIES_S + silent_s < kills_after_s, (seed, first, second)


def test_a_long_run_still_freezes_web_processes_close_to_each_other() -> None:
    gaps = [
        second.at_s - first.at_s - first.lasts_s
        for seed in SEEDS
        for first, second in pairwise(
            fault for fault in planned(LONG, seed) if fault.kind in WEB_FREEZES
        )
    ]
    assert min(gaps) < NOTIFIES_S / 2


def test_a_provider_is_down_until_the_breakers_of_two_models_open() -> None:
    policy = BreakerPolicy()
    for run in (SHORT, LONG):
        calls_per_s = run.jobs / run.span_s
        calls = policy.size * policy.failure_percent / 100 + policy.minimum
        for fault in (fault for seed in SEEDS for fault in planned(run, seed)):
            if fault.kind in DOWN:
                known_after_s = 2 * PROVIDER_IDLE_S if fault.kind is Kind.SILENCE else 0
                assert fault.lasts_s > calls / calls_per_s + known_after_s, fault
