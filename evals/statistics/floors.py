"""The comparison of a candidate with its floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evals.statistics.data import Outcome, pass_mean
from evals.statistics.distributions import normal_below
from evals.statistics.findings import ROUNDING
from evals.statistics.rules import LEAST_REPEATS


@dataclass(frozen=True, slots=True)
class FloorComparison:
    """A pass rate, and how often a prompt with it fails its floor."""

    rate: float
    """Mean over cases of the share of passes among all of a case's repeats."""
    failures: float
    """Probability that a further run is below the floor, if the pass rate of each case is its true
    one."""


def compare(repeats: Sequence[tuple[Outcome, ...]], floor: float) -> FloorComparison | None:
    """Compare a candidate with its floor, from 0 to 1.

    Args:
        repeats: The scored repeats of each case. Cases without one are left out.
        floor: The least pass rate. 0: there is none.

    Returns None without a floor or a scored repeat.
    """
    cases = [each for each in repeats if each]
    if not (cases and floor):
        return None
    rate = sum(map(pass_mean, cases)) / len(cases)
    return FloorComparison(rate, _failures(cases, rate, floor))


def _failures(cases: Sequence[tuple[Outcome, ...]], rate: float, floor: float) -> float:
    """Return how often a further run with the same cases and repeats is below the floor.

    The answers of a case vary, and its cases do not: only noise within cases counts. Their rates
    are means of independent calls, so that the rate of the run is nearly normal. Its values are
    steps apart; half a step corrects for that.
    """
    step = 1 / (len(cases) * max(map(len, cases)))
    limit = math.ceil((floor - ROUNDING) / step) * step - step / 2
    deviation = math.sqrt(_variance(cases))
    if not deviation:
        return float(rate < limit)
    return normal_below((limit - rate) / deviation)


def _variance(cases: Sequence[tuple[Outcome, ...]]) -> float:
    """Return the variance of the pass rate by noise within cases.

    That of a case is p(1 - p) / (r - 1), an unbiased estimate from r repeats. A single repeat shows
    no noise. Such cases are taken to have one common pass rate, which gives the most noise.
    """
    repeated = [each for each in cases if len(each) >= LEAST_REPEATS]
    single = [each for each in cases if len(each) < LEAST_REPEATS]
    found = sum(_spread(pass_mean(each)) / (len(each) - 1) for each in repeated)
    if single:
        found += len(single) * _spread(sum(map(pass_mean, single)) / len(single))
    return found / len(cases) ** 2


def _spread(rate: float) -> float:
    return rate * (1 - rate)
