"""A weekly run seldom acts on an unchanged prompt, and compares what both suites share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evals.statistics import weekly
from evals.statistics.distributions import Bools, Floats
from evals.statistics.rules import DEFAULT, Rules
from evals.statistics.simulation import Comparisons, classify
from evals.statistics.verdict import Decision, Verdict
from tests.unit.evals.made import alone, by_churn, flaky, suite

ROUNDS = 6_000
RUNS_A_YEAR = 3 * 52
"""Of three features."""


def confirmed(chances: Floats, *, confirming: Rules, drop: float = 0.0, seed: int = 1) -> Bools:
    """Return whether two runs of three repeats are alarms against one baseline, by round."""
    random = np.random.default_rng(seed)
    cases = len(chances)

    def arm() -> tuple[Floats, Floats]:
        drawn = random.binomial(3, chances, (2, ROUNDS, cases)) / 3
        return drawn[0], drawn[1]

    broken = random.random((ROUNDS, cases)) < drop
    baseline, firsts = arm()
    found = np.ones(ROUNDS, dtype=np.bool_)
    for rules in (DEFAULT, confirming):
        passes, valid = arm()
        passes = passes * ~broken
        rounds = Comparisons(
            baseline,
            passes,
            passes - baseline,
            valid - firsts,
            np.zeros((ROUNDS, cases), dtype=np.bool_),
            np.full(cases, 3),
        )
        decided = classify(
            rounds,
            groups=alone(cases),
            must=np.zeros(cases, dtype=np.bool_),
            judged=False,
            floor=0.0,
            rules=rules,
        )
        found &= decided.regression | decided.not_comparable
    return found


def test_three_features_give_0_4_false_actions_a_year_and_not_7_8() -> None:
    """The bound of one verdict is 5 %, and that of two is its square, as if they were independent.

    They are not: a baseline that is high by chance is that of both runs. Hence stricter limits.
    """
    assert pytest.approx(7.8) == RUNS_A_YEAR * 0.05
    assert pytest.approx(0.39) == RUNS_A_YEAR * 0.05**2
    suites = [by_churn(0.05, 100), by_churn(0.1, 100), by_churn(0.2, 100), flaky(0.3, 100)]

    def rate(confirming: Rules) -> float:
        drawn = [
            confirmed(chances, confirming=confirming, seed=seed)
            for seed, chances in enumerate(suites)
        ]
        return float(np.mean(drawn))

    assert RUNS_A_YEAR * rate(weekly.CONFIRMING) <= 0.4
    assert RUNS_A_YEAR * rate(DEFAULT) > 0.8, "the limits of the first run are not enough"


def test_a_drop_of_fifteen_points_is_confirmed_in_most_weeks() -> None:
    chances = by_churn(0.05, 100)
    drop = 0.15 / float(chances.mean())
    assert confirmed(chances, confirming=weekly.CONFIRMING, drop=drop).mean() > 0.9


def judged(counts: dict[tuple[str, str], int], *, floor: float = 0.5, lost: int = 0) -> Verdict:
    cases = suite(counts)
    total = sum(len(each.baseline) + len(each.candidate) for each in cases) + lost
    return weekly.judge(cases, judged=False, floor=floor, unscored=lost, total=total)


def test_new_cases_are_not_compared_and_count_for_the_floor() -> None:
    found = judged({("+", "+"): 60, ("", "-"): 20}, floor=0.7)
    assert (found.decision, found.cases, found.difference_points) == (Decision.PASS, 60, 0)
    assert found.floor_rate == 0.75
    assert found.unscored_share == 0
    below = judged({("+", "+"): 60, ("", "-"): 20}, floor=0.8)
    assert (below.decision, below.only_below_floor) == (Decision.REGRESSION, True)
    assert "below the floor" in below.reasons[0]
    both = judged({("+", "+"): 40, ("+", "-"): 20, ("", "-"): 20}, floor=0.8)
    assert (both.decision, both.only_below_floor) == (Decision.REGRESSION, False)


def test_a_drop_of_ten_points_is_an_alarm_if_noise_can_explain_it_too() -> None:
    noisy = judged({("+", "+"): 30, ("+", "-"): 14, ("-", "+"): 8, ("-", "-"): 8})
    assert (noisy.decision, weekly.is_alarm(noisy)) == (Decision.NOT_COMPARABLE, True)
    small = replace(noisy, difference_points=-9.9)
    assert not weekly.is_alarm(small)


def test_too_many_unscored_repeats_measure_nothing() -> None:
    assert weekly.is_measured(judged({("+", "+"): 98}, lost=4))
    assert not weekly.is_measured(judged({("+", "+"): 98}, lost=5))
