"""The smallest drop that a comparison finds."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from evals.statistics.distributions import Floats, normal_quantile, t_quantile
from evals.statistics.paired import Grouping, standard_error
from evals.statistics.rules import DEFAULT, Rules

STEP: Final = 0.001
"""A tenth of a point."""


def smallest_drop_points(
    differences: Floats, groups: Grouping, rules: Rules = DEFAULT, *, loss: float = 1.0
) -> float | None:
    """Return the smallest drop in points that the rules find with the wanted power.

    Args:
        differences: Candidate minus baseline of the means over repeats, one value for each case.
        groups: At least two groups.
        rules: The limits of the verdict.
        loss: The value that a case loses when it fails: 1 for passes, usually less for scores.

    Return None if not even a drop of 100 points is found.

    The observed variance of the differences is the noise. A drop of d makes a random share d of the
    groups fail. They lose their noise, and add d (1 - d) times the squared loss to the variance.
    The observed drop is taken as normal. It is found above a limit at which its own standard error
    makes it significant, plus half a group for rounding to whole ones. The tests compare the result
    with a simulation of the verdict. The rule for `must` cases is left out.
    """
    drops = np.arange(1, round(1 / STEP) + 1) * STEP
    sizes = groups.sums(np.ones((1, len(differences))))
    planted = loss**2 * np.square(sizes).sum() / len(differences) ** 2
    noise = float(standard_error(differences, groups)) ** 2
    error = np.sqrt((1 - drops) * (noise + drops * planted))
    freedom = groups.count - 1

    def least(alpha: float) -> float:
        """Return the smallest significant drop, or infinity."""
        significant = loss * drops >= t_quantile(1 - alpha, freedom) * error
        return float(drops[np.argmax(significant)]) if significant.any() else math.inf

    limit = min(least(rules.alpha), max(rules.drop_points / 100, least(rules.drop_alpha)))
    limit += 1 / (2 * groups.count)
    found = loss * (drops - limit) >= normal_quantile(rules.wanted_power) * error
    return float(drops[np.argmax(found)] * 100) if found.any() else None
