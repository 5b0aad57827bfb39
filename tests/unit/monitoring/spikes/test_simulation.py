"""The rules err seldom and act soon in a simulation of a thousand days."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, reduce
from operator import add

import pytest

from aifeature.policies import spike
from aifeature.services.monitoring.spikes.attacks import ATTACKS
from aifeature.services.monitoring.spikes.judge import Rules
from aifeature.services.monitoring.spikes.simulation import Outcome, Simulated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
"""About half a minute of work, but a machine may be busy with much else."""

WORLDS, DAYS = 8, 125


@cache
def world(seed: int) -> Simulated:
    return Simulated(seed, days=DAYS)


MEDIAN_MIN = {"viral day": 30, "stolen account": 75, "retry loop": 45, "slow viral day": 120}
"""Most minutes until the check acts, in the median. Word that gets round within three hours doubles
the rate only after 36."""


def test_the_rules_err_rarely_and_act_in_time() -> None:
    """One test, so that one process makes all worlds, once."""
    made = (world(seed).run(Rules(), each=4) for seed in range(1, WORLDS + 1))
    found: Outcome = reduce(add, made)
    assert found.days == 1000
    assert found.active > 20_000
    assert found.throttled_share <= 0.01, "one user in a hundred in a month"
    assert found.trips_a_year <= 1
    times = {attack: found.of(attack) for attack in ATTACKS}
    assert times.keys() == MEDIAN_MIN.keys()
    assert {attack: of.missed for attack, of in times.items() if of.missed} == {}
    late = {
        attack: of.median_min
        for attack, of in times.items()
        if of.median_min is None or of.median_min > MEDIAN_MIN[attack]
    }
    assert late == {}


def test_a_looser_rule_for_users_throttles_too_many() -> None:
    rules = Rules(user=replace(spike.USER, min_spend_micro=spike.USER.min_spend_micro // 2))
    assert world(1).run(rules, each=0).throttled_share > 0.01


def test_a_looser_rule_for_features_stops_too_often() -> None:
    rules = Rules(feature=replace(spike.FEATURE, factor=1.5, surge_margin=0.01))
    assert world(1).run(rules, each=0).trips_a_year > 1


@pytest.mark.parametrize(
    ("rules", "attack", "minutes"),
    [
        (Rules(feature=replace(spike.FEATURE, surge_min_micro=None)), "viral day", 30),
        (Rules(user=replace(spike.USER, min_spend_micro=9_000_000)), "stolen account", 75),
    ],
)
def test_a_tighter_rule_is_too_late(rules: Rules, attack: str, minutes: int) -> None:
    found = (world(seed).run(rules, each=3, attacks=[attack], usual=False) for seed in (1, 2))
    times = reduce(add, found).of(attack)
    assert times.median_min is None or times.median_min > minutes


def test_the_same_seed_makes_the_same_world() -> None:
    first, again = (Simulated(1, days=20).run(Rules(), each=1) for _ in range(2))
    assert again == first
