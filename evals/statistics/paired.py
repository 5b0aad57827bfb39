"""Paired tests of a candidate against a baseline on the same cases.

Each function takes one row of values for each comparison and returns one result for each row, so
that the simulation of thousands of comparisons runs the code of the verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from evals.statistics.distributions import (
    Bools,
    Floats,
    Ints,
    coin_above,
    t_below,
    t_quantile,
)
from evals.statistics.intervals import CONFIDENCE, Interval

LEAST_GROUPS: Final = 2
"""A single group has no spread, so its difference cannot be tested."""

ZERO: Final = 1e-12
"""Smaller standard errors and differences are rounding errors of means over repeats."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """The group of each case, as numbers from 0."""

    of_case: Ints
    count: int

    @property
    def single(self) -> bool:
        """Whether each case is alone in its group."""
        return self.count == len(self.of_case)

    def sums(self, values: Floats) -> Floats:
        """Return the sum of each group: from (rows, cases) to (rows, groups)."""
        if self.single:
            return values
        members = np.zeros((len(self.of_case), self.count))
        members[np.arange(len(self.of_case)), self.of_case] = 1
        return np.asarray(values @ members, dtype=np.float64)


def grouping(groups: Sequence[str]) -> Grouping:
    """Return the grouping of cases by the names of their groups."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    return Grouping(np.array([numbers[name] for name in groups], dtype=np.int64), len(numbers))


def mcnemar(differences: Floats, *, two_sided: bool = False) -> Floats:
    """Return the mid-p values of McNemar's test.

    Args:
        differences: Candidate minus baseline of single passes: -1, 0 or 1, as (rows, cases).
        two_sided: Whether an improvement counts as well. Otherwise only a loss does.

    Of the cases that differ, half are worse if nothing changed. The mid-p value is the probability
    of more worse cases plus half of that of as many. Without a case that differs it is 1.
    Source: Fagerland, Lydersen and Laake 2013 (doi:10.1186/1471-2288-13-91).
    """
    worse: Ints = np.count_nonzero(differences < 0, axis=-1).astype(np.int64)
    better: Ints = np.count_nonzero(differences > 0, axis=-1).astype(np.int64)
    both = worse + better
    p = (coin_above(worse, both) + coin_above(worse - 1, both)) / 2
    if two_sided:
        p = 2 * np.minimum(p, 1 - p)
    return np.where(both == 0, 1.0, p)


def standard_error(differences: Floats, groups: Grouping) -> Floats:
    """Return the standard errors of the means of the rows, clustered by group.

    They include the factor G / (G - 1) for G groups. Source: Miller, "Adding Error Bars to Evals"
    (arXiv 2411.00640), and Cameron and Miller 2015 for the factor.
    """
    residuals = groups.sums(differences - differences.mean(axis=-1, keepdims=True))
    factor = groups.count / (groups.count - 1)
    return np.asarray(
        np.sqrt(factor * np.square(residuals).sum(axis=-1)) / differences.shape[-1],
        dtype=np.float64,
    )


def clustered_t(differences: Floats, groups: Grouping, *, two_sided: bool = False) -> Floats:
    """Return the p values of the paired t test with clustered standard errors.

    Args:
        differences: Candidate minus baseline of the means over repeats, as (rows, cases).
        groups: At least two groups.
        two_sided: Whether an improvement counts as well. Otherwise only a loss does.

    Without variance p is 1 if no loss (two-sided: no difference) exists, and otherwise the least
    possible. If m groups differ, p is at least half the probability that m fair coins all show
    heads, as in McNemar's test. Otherwise the loss of four groups is significant, which chance
    makes once in 16 times that four differ.
    """
    mean = differences.mean(axis=-1)
    error = standard_error(differences, groups)
    flat = error < ZERO
    statistic = mean / np.where(flat, 1.0, error)
    differing = np.count_nonzero(np.abs(groups.sums(differences)) > ZERO, axis=-1)
    least = 0.5 ** (differing + 1)
    if two_sided:
        p = 2 * t_below(-np.abs(statistic), groups.count - 1)
        same: Bools = np.abs(mean) < ZERO
        least = 2 * least
    else:
        p = t_below(statistic, groups.count - 1)
        same = mean > -ZERO
    p = np.maximum(least, np.where(flat, np.where(same, 1.0, 0.0), p))
    return np.asarray(p, dtype=np.float64)


def difference_interval(differences: Floats, groups: Grouping) -> Interval:
    """Return the interval at 95 % of the mean of one row of differences from -1 to 1.

    Without variance the t interval has no width. Then the bound of Clopper and Pearson for zero
    events is used: the share of groups that can differ although none of the sample does.
    """
    mean = float(differences.mean())
    error = float(standard_error(differences, groups))
    if error < ZERO:
        half = 1 - ((1 - CONFIDENCE) / 2) ** (1 / groups.count)
    else:
        half = t_quantile((1 + CONFIDENCE) / 2, groups.count - 1) * error
    return Interval(max(-1.0, mean - half), min(1.0, mean + half))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return Holm's adjusted p values, in the order given.

    The test compares them with those of statsmodels, which takes three CPU seconds to import.
    """
    adjusted = [math.nan] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)
