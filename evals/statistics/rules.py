"""The limits of the verdict."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

MUST_REPEATS: Final = 3
"""Least repeats of the baseline, of the candidate, and of the candidate again, for a broken case.

If a case passes with an unchanged probability, at most 0.33 % of comparisons find it broken: three
passes and six failures in a row, most probable for a case that passes one time in three.
"""

MUST_SHARE: Final = 0.9
"""Least share of passes of the baseline for a broken case: all of fewer than ten repeats.

The baseline of a pool has many repeats, of which one may fail.
"""

LEAST_REPEATS: Final = 2
"""A single repeat does not show whether a case flips."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits of the verdict. Points are percentage points of the pass rate."""

    alpha: float = 0.03
    """A regression is a p value of the tested passes or scores below this."""
    at_once_alpha: float = 0.005
    """A regression is a p value of the valid first answers below this.

    A repair hides an invalid answer from the pass rate, and its user waits for two calls that cost
    twice as much. The limit is low, because it adds to the false alarms of the other test.
    """
    drop_points: float = 10
    """A drop of at least this never passes."""
    drop_alpha: float = 0.04
    """Such a drop is a regression below this p value. Above it, the verdict is not comparable.

    Without this condition noise alone reaches ten points too often. At 50 cases and one repeat, 7 %
    of comparisons without a change do if 10 % of cases flip each way, and 16 % do if 20 % flip. Of
    100 cases in groups of ten identical ones, a fifth to a third do at 3 to 10 % churn. The cost is
    small with 100 cases at 5 % churn (89.5 % of drops of 15 points are regressions instead of
    89.6 %), and not with 50 cases at 10 % churn (56 % instead of 78 %, one repeat): there, more
    repeats decide.
    """
    pool_alpha: float = 0.00005
    """The probability beyond each end of the interval that excludes a drop of `drop_points`.

    A prompt that once did not pass needs it to pass again, so each further run passes such a drop
    with about this probability.
    """
    suspicious_points: float = 15
    """A greater improvement may be a broken scorer."""
    max_unscored_share: float = 0.02
    """More unscored repeats than this make the arms incomparable."""
    least_cases: int = 50
    """Fewer cases are no evidence."""
    wanted_power: float = 0.9
    target_drop_points: float = 15
    """The drop that a suite must find with `wanted_power`."""


DEFAULT: Final = Rules()


def shows_churn(repeats: Collection[int]) -> bool:
    """Return whether the repeats of each case show how much the answers of a suite vary.

    A few repeated cases do not show it: `must` cases are repeated anyway, and they seldom flip.
    """
    return 2 * sum(number >= LEAST_REPEATS for number in repeats) > len(repeats)
