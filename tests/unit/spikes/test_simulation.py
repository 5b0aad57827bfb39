"""How often the rules err and how fast they act, over a thousand made-up days."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add

import pytest

from aifeature.policies import spike
from aifeature.services.spikes.judge import Rules
from aifeature.services.spikes.simulation import Outcome, Simulated

pytestmark = pytest.mark.timeout(900)
"""About a minute of work, but a machine may be busy with much else."""

WORLDS, DAYS = 8, 125


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
    assert worlds[0].run(rules, each=0).throttled_share > 0.01


def test_a_looser_rule_for_features_stops_too_often(worlds: list[Simulated]) -> None:
    rules = Rules(feature=replace(spike.FEATURE, factor=1.5, surge_margin=0.01))
    assert worlds[0].run(rules, each=0).trips_a_year > 1


@pytest.mark.parametrize(
    ("rules", "attack", "minutes"),
    [
        (Rules(feature=replace(spike.FEATURE, surge_min_micro=None)), "viral day", 30),
        (Rules(user=replace(spike.USER, min_spend_micro=9_000_000)), "stolen account", 75),
    ],
)
def test_a_tighter_rule_is_too_late(
    worlds: list[Simulated], rules: Rules, attack: str, minutes: int
) -> None:
    found = (made.run(rules, each=3, attacks=[attack], usual=False) for made in worlds[:2])
    times = reduce(add, found).of(attack)
    assert times.median_min is None or times.median_min > minutes


def test_the_same_seed_makes_the_same_world(worlds: list[Simulated]) -> None:
    again = Simulated(1, days=DAYS).run(Rules(), each=1, usual=False)
    assert again.attacks == worlds[0].run(Rules(), each=1, usual=False).attacks
