"""Confidence intervals of rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from evals.statistics.distributions import normal_quantile

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


def wilson(rate: float, cases: int) -> Interval:
    """Return the Wilson score interval at 95 % of a rate over a number of cases.

    The rate may be a mean over repeats. Repeats of one case are correlated, so the sample's size is
    the number of cases. Source: Wilson 1927, and Bowyer (arXiv 2503.01747) for its use in
    evaluations of a few hundred cases, where normal intervals are too narrow.

        >>> wilson(0.9, 100)
        Interval(low=0.8256..., high=0.9447...)
    """
    square = normal_quantile((1 + CONFIDENCE) / 2) ** 2
    centre = (rate + square / (2 * cases)) / (1 + square / cases)
    half = math.sqrt(square * (rate * (1 - rate) / cases + square / (4 * cases**2))) / (
        1 + square / cases
    )
    return Interval(max(0.0, centre - half), min(1.0, centre + half))
