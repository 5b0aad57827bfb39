"""How often the rules err and how fast they act, over a thousand made-up days."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import add

import pytest

from aifeature.policies import spike
from aifeature.services.spikes.judge import Rules
from aifeature.services.spikes.simulation import Outcome, Simulated

WORLDS, DAYS = 8, 125
Run = Callable[[Rules], Outcome]


@pytest.fixture(scope="module")
def worlds() -> list[Simulated]:
    return [Simulated(seed, days=DAYS) for seed in range(1, WORLDS + 1)]


@pytest.fixture(scope="module")
def found(worlds: list[Simulated]) -> Outcome:
    return reduce(add, (made.run(Rules(), each=4) for made in worlds))


def test_at_most_one_user_in_a_hundred_is_throttled_wrongly_in_a_month(found: Outcome) -> None:
    assert found.days == 1000
    assert found.active > 20_000
    assert found.throttled_share <= 0.01


def test_at_most_one_switch_a_year_is_pulled_wrongly(found: Outcome) -> None:
    assert found.trips_a_year <= 1


def test_every_viral_day_is_found_in_the_median_within_half_an_hour(found: Outcome) -> None:
    times = found.of("viral day")
    assert times.missed == 0
    assert times.median_min is not None
    assert times.median_min <= 30


@pytest.mark.parametrize(
    ("attack", "median_min"), [("stolen account", 75), ("retry loop", 45), ("slow viral day", 120)]
)
def test_every_other_attack_is_found(found: Outcome, attack: str, median_min: int) -> None:
    """Word that gets round within three hours doubles the rate only after 36 minutes."""
    times = found.of(attack)
    assert times.missed == 0
    assert times.median_min is not None
    assert times.median_min <= median_min


def test_a_looser_rule_for_users_throttles_too_many(worlds: list[Simulated]) -> None:
    rules = Rules(user=replace(spike.USER, min_spend_micro=spike.USER.min_spend_micro // 2))
    some = reduce(add, (made.run(rules, each=0) for made in worlds[:2]))
    assert some.throttled_share > 0.01


def test_a_looser_rule_for_features_stops_too_often(worlds: list[Simulated]) -> None:
    rules = Rules(feature=replace(spike.FEATURE, factor=1.5, surge_margin=0.01))
    some = reduce(add, (made.run(rules, each=0) for made in worlds[:1]))
    assert some.trips_a_year > 1


def test_a_tighter_rule_finds_viral_days_too_late(worlds: list[Simulated]) -> None:
    rules = Rules(feature=replace(spike.FEATURE, factor=3))
    some = reduce(add, (made.run(rules, each=4, usual=False) for made in worlds[:4]))
    times = some.of("viral day")
    assert times.missed or times.median_min is None or times.median_min > 30


def test_the_same_seed_makes_the_same_world(worlds: list[Simulated]) -> None:
    again = Simulated(1, days=DAYS).run(Rules(), each=1, usual=False)
    assert again.attacks == worlds[0].run(Rules(), each=1, usual=False).attacks
