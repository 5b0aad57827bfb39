"""The levels of the six numbers, and how often they are wrong if they are checked all the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aifeature.policies import numbers
from aifeature.policies.numbers import Judged, NumberLevel, Six

GREEN, AMBER, RED = NumberLevel
DAYS = [1000.0, 1200.0, 800.0]
"""Micro-dollars per user: the baseline is 1,000."""


@pytest.mark.parametrize(
    ("found", "value", "level"),
    [
        (numbers.errors(0, 0), None, None),
        (numbers.errors(19, 19), 1.0, None),
        (numbers.errors(0, 20), 0.0, GREEN),
        (numbers.errors(2, 100), 0.02, GREEN),
        (numbers.errors(3, 100), 0.03, AMBER),
        (numbers.errors(7, 20), 0.35, AMBER),  # too few to be red
        (numbers.errors(8, 20), 0.4, RED),
        (numbers.errors(8, 200), 0.04, AMBER),
        (numbers.errors(30, 200), 0.15, RED),
        (numbers.latency(None, 0, 0), None, None),
        (numbers.latency(30, 19, 19), 30, None),
        (numbers.latency(10, 1, 20), 10, GREEN),
        (numbers.latency(10.1, 2, 20), 10.1, AMBER),
        (numbers.latency(30, 9, 20), 30, AMBER),
        (numbers.latency(30, 12, 20), 30, RED),
        (numbers.thumbs_down(49, 49), 1.0, None),
        (numbers.thumbs_down(10, 50), 0.2, GREEN),
        (numbers.thumbs_down(12, 50), 0.24, AMBER),
        (numbers.thumbs_down(20, 50), 0.4, RED),
        (numbers.cost([], DAYS), None, None),
        (numbers.cost([9000] * 4, DAYS), 9.0, None),
        (numbers.cost([9000] * 5, DAYS[:2]), None, None),
        (numbers.cost([9000] * 5, [0.0] * 3), None, None),
        (numbers.cost([2000] * 50, DAYS), 2.0, GREEN),
        (numbers.cost([9000] * 5, DAYS), 9.0, GREEN),  # less than five cents in all
        (numbers.cost([9000] * 50, DAYS), 9.0, RED),
        (numbers.cost([1000] * 49 + [101_000], DAYS), 3.0, AMBER),  # one user
        (numbers.evals("pass", 10.0, 80, None), -10.0, GREEN),
        (numbers.evals("pass", -10.0, 80, None), 10.0, GREEN),
        (numbers.evals("not comparable", -10.1, 80, None), 10.1, AMBER),
        (numbers.evals("not comparable", -3.0, 80, None), 3.0, None),
        (numbers.evals("regression", -4.0, 80, [-7.0, -1.0]), 4.0, RED),
        (numbers.evals("regression", None, 0, None), None, RED),
        (numbers.hallucinations((0, 0), (0, 0)), None, None),
        (numbers.hallucinations((1, 19), (1, 19)), 1 / 19, None),
        (numbers.hallucinations((1, 20), (1, 20)), 0.05, GREEN),
        (numbers.hallucinations((2, 20), (7, 80)), 0.1, AMBER),
        (numbers.hallucinations((6, 60), (6, 60)), 0.1, RED),
        (numbers.hallucinations((6, 90), (6, 90)), 6 / 90, AMBER),
        (numbers.hallucinations((2, 20), (8, 80)), 0.1, RED),
    ],
)
def test_levels(found: Judged, value: float | None, level: NumberLevel | None) -> None:
    assert found.value == (None if value is None else pytest.approx(value))
    assert found.level is level


def test_intervals_of_values() -> None:
    errors, cost = numbers.errors(3, 100), numbers.cost([1000, 2000, 3000, 4000, 5000], DAYS)
    evals = numbers.evals("regression", -4.0, 80, [-7.0, -1.0])
    assert (errors.low, errors.high) == pytest.approx((0.0103, 0.0845), abs=1e-4)
    assert (cost.low, cost.high) == pytest.approx((1.037, 4.963), abs=0.01)  # Student's t
    assert (evals.low, evals.high) == (1.0, 7.0)


@pytest.mark.parametrize(
    ("windows", "at", "level"),
    [
        # Failed of ended in an hour, in six, and in a day.
        ([(0, 5), (1, 30), (2, 90)], 1, AMBER),
        ([(0, 5), (0, 9), (0, 15)], 2, None),
        ([(5, 50), (30, 300), (30, 900)], 1, RED),
        ([(0, 50), (30, 300), (30, 900)], 0, GREEN),  # it is over
        ([(0, 0), (30, 300), (30, 900)], 1, RED),
        ([(0, 10), (30, 300), (30, 900)], 1, AMBER),  # it seems to be over
    ],
)
def test_the_window_that_counts(
    windows: Sequence[tuple[int, int]], at: int, level: NumberLevel | None
) -> None:
    found = numbers.over_windows(Six.ERRORS, [numbers.errors(*each) for each in windows])
    assert (found[0], found[1].level) == (at, level)


@pytest.mark.parametrize(
    ("counts", "active", "level"),
    [
        ([(8, 8)], 1, RED),  # a feature of one person
        ([(30, 30)], 20, AMBER),  # others used it today
        ([(15, 15), (15, 15)], 20, AMBER),
        ([(5, 5), (5, 5), (5, 5)], 20, RED),  # all are hit
        ([(3, 10)] * 10, 10, RED),  # all are hit
        ([(1, 1)] * 12 + [(0, 2)] * 40, 52, RED),
        ([(20, 20)] * 3 + [(0, 20)] * 7, 10, RED),
        ([(4, 4)] * 3 + [(0, 2)] * 40, 43, AMBER),  # as many, and they tried again
    ],
)
def test_requests_of_one_person_are_not_independent(
    counts: Sequence[tuple[int, int]], active: int, level: NumberLevel
) -> None:
    judged = numbers.errors(sum(bad for bad, _ in counts), 20 + sum(of for _, of in counts) // 2)
    assert judged.level is RED
    found = numbers.by_people(Six.ERRORS, judged, counts, active)
    assert found.level is level
    assert (found.bound is not None and found.bound > 0.02) == (level is RED)


Table = NDArray[np.int64]


def reds(judge: Callable[[int, int], Judged], most: int) -> Table:
    """Return the fewest harms that are red, by the number of samples up to `most`."""

    def fewest(total: int) -> int:
        low, high = 0, total + 1
        while low < high:
            middle = (low + high) // 2
            is_red = judge(middle, total).level is RED
            low, high = (low, middle) if is_red else (middle + 1, high)
        return low

    return np.array([fewest(total) for total in range(most + 1)])


def trailing(values: NDArray[Any], width: int) -> Table:
    """Return the sums of all runs of `width` neighbours on the last axis."""
    sums = np.cumsum(values, axis=-1, dtype=np.int64)
    sums[..., width:] -= sums[..., :-width].copy()
    return sums[..., width - 1 :]


def test_thumbs_down_are_rarely_red_by_chance() -> None:
    """At a true 12 % and 56 votes a week, checked after each vote for 13 weeks."""
    votes, runs = 56, 4000
    down = np.random.default_rng(1).random((runs, 14 * votes)) < 0.12
    week = trailing(down, votes)
    naive = (week > 0.2 * votes).any(axis=1).mean()
    red = (week >= reds(numbers.thumbs_down, votes)[votes]).any(axis=1).mean()
    assert 0.7 < naive < 0.85
    assert red <= 0.005


HOURLY = {
    "errors": (numbers.errors, 0.01, 0.02),
    "latency": (lambda slow, timed: numbers.latency(60, slow, timed), 0.03, 0.05),
}


@pytest.mark.parametrize("name", HOURLY)
def test_hourly_shares_are_rarely_red_by_chance(name: str) -> None:
    """At 50 requests an hour and half of the threshold or so, checked each minute for a year."""
    judge, true, threshold = HOURLY[name]
    per_hour, quarters, minutes = 50, 4, 91 * 1440
    dice = np.random.default_rng(18)
    table = reds(judge, 100 + 6 * per_hour)
    false = naive = 0
    for _ in range(quarters):
        ended = dice.poisson(per_hour / 60, minutes).astype(np.int32)
        harms = dice.binomial(ended, true)
        hour, failed = trailing(ended, 60), trailing(harms, 60)
        false += bool((failed >= table[hour]).any())
        naive += bool((failed > threshold * hour).any())
    assert naive == quarters
    assert false == 0


@pytest.mark.parametrize(("share", "requests"), [(0.5, 30), (0.2, 70), (0.08, 450)])
def test_a_real_rise_of_errors_is_red_soon(share: float, requests: int) -> None:
    """With a probability of 95 %, after this many requests."""
    failed = np.random.default_rng(2).binomial(requests, share, 2000)
    assert (failed >= reds(numbers.errors, requests)[requests]).mean() > 0.95
