from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from tests.chaos.plan import LEASE_S, MANNERS, REDIS_AWAY, SWITCHES, Fault, Kind, schedule

SEEDS = range(20)


def made(seed: int, *, count: int = 40, span_s: float = 480.0, short: bool = False) -> list[Fault]:
    return schedule(seed=seed, count=count, span_s=span_s, short=short)


def test_a_seed_repeats_its_schedule_and_another_makes_another() -> None:
    assert made(7) == made(7)
    assert made(7) != made(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_comes_at_least_once(seed: int) -> None:
    for faults in (made(seed), made(seed, count=1, span_s=60.0, short=True)):
        assert {fault.kind for fault in faults} == set(Kind)


def test_there_are_as_many_as_asked_for_in_the_order_of_time() -> None:
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
