"""The figure of how often a prompt fails its floor, against simulated runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from evals.report.words import floor_failures
from evals.statistics import floors
from evals.statistics.verdict import Decision
from tests.unit.evals.made import case, decided, outcomes, suite

ROUNDS = 20_000

# Each share of passes of 40 cases is as frequent as with a true rate of 0.5. 60 cases always pass.
MARKS = {
    "one repeat": [*["+"] * 20, *["-"] * 20, *["+"] * 60],
    "two repeats": [*["++"] * 10, *["+-"] * 20, *["--"] * 10, *["++"] * 60],
    "three repeats": [*["+++"] * 5, *["++-"] * 15, *["+--"] * 15, *["---"] * 5, *["+++"] * 60],
}


def simulated(repeats: int, floor: float) -> float:
    passes = np.random.default_rng(7).binomial(repeats, 0.5, (ROUNDS, 40))
    return float(((passes.sum(axis=1) / repeats + 60) / 100 < floor - 1e-9).mean())


def failures(marks: Sequence[str], floor: float) -> float:
    found = floors.compare([outcomes(each) for each in marks], floor)
    assert found is not None
    return found.failures


@pytest.mark.parametrize("floor", [0.76, 0.78, 0.8, 0.815])
@pytest.mark.parametrize("repeats", [2, 3])
def test_the_figure_is_that_of_simulated_runs(repeats: int, floor: float) -> None:
    marks = list(MARKS.values())[repeats - 1]
    assert failures(marks, floor) == pytest.approx(simulated(repeats, floor), abs=0.01)


def test_a_prompt_at_the_floor_fails_in_about_half() -> None:
    for marks in MARKS.values():
        assert 0.4 < failures(marks, 0.8) < 0.5


def test_with_one_repeat_the_figure_is_a_limit() -> None:
    true = simulated(1, 0.77)
    assert true < failures(MARKS["one repeat"], 0.77) < 0.25
    others_are_repeated = [*MARKS["one repeat"][:40], *["+++"] * 60]
    assert true < failures(others_are_repeated, 0.77) < true + 0.03


def test_a_prompt_whose_answers_do_not_vary_fails_never_or_always() -> None:
    marks = [*["+++"] * 80, *["---"] * 20]
    assert [failures(marks, floor) for floor in (0.8, 0.801)] == [0, 1]
    assert floors.compare([outcomes("+")], 0) is None
    assert floors.compare([()], 0.8) is None


def test_the_floor_counts_all_repeats_of_the_candidate() -> None:
    """A case with an unscored baseline is no part of the comparison."""
    cases = [*suite({("+++", "+++"): 98}), case("lost", "", "---"), case("half", "+++", "++-")]
    found = decided(cases, floor=0.989)
    assert found.candidate is not None
    assert found.candidate.rate > 0.989
    assert found.floor_rate == pytest.approx((98 + 2 / 3) / 100)
    assert (found.decision, found.only_below_floor) == (Decision.REGRESSION, True)


def test_the_figure_in_words() -> None:
    verdict = {"floor": 0.8, "floor_rate": 0.824, "floor_failures": 0.031, "repeats": 3}
    assert floor_failures(verdict) == (
        "a prompt with this true rate (82.4%) would fail it in 3% of runs, and one just at the"
        " floor in about half"
    )
    assert "in at most 3% of runs" in floor_failures({**verdict, "repeats": 1})
    below = {**verdict, "floor_rate": 0.7, "floor_failures": 0.9, "repeats": 1}
    assert "in at least 90% of runs" in floor_failures(below)
    assert "in less than 1% of runs" in floor_failures({**verdict, "floor_failures": 0.001})
    assert floor_failures({**verdict, "floor_failures": None}) == floor_failures({}) == ""
