"""The smallest drop that a comparison finds."""

from __future__ import annotations

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
    groups fail, which adds d (1 - d) times the squared loss to the variance. The mean is taken as
    normal. The tests compare the result with a simulation of the verdict. The rule for `must`
    cases is left out.
    """
    drops = np.arange(1, round(1 / STEP) + 1) * STEP
    sizes = groups.sums(np.ones((1, len(differences))))
    planted = loss**2 * np.square(sizes).sum() / len(differences) ** 2
    noise = float(standard_error(differences, groups)) ** 2
    error = np.sqrt(noise + drops * (1 - drops) * planted)
    freedom = groups.count - 1
    by_test = t_quantile(1 - rules.alpha, freedom) * error
    by_drop = np.maximum(
        loss * rules.drop_points / 100, t_quantile(1 - rules.drop_alpha, freedom) * error
    )
    needed = np.minimum(by_test, by_drop) + normal_quantile(rules.wanted_power) * error
    found = loss * drops >= needed
    return float(drops[np.argmax(found)] * 100) if found.any() else None
