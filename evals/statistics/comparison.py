"""Both arms of a comparison as arrays, and the test that decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from evals.statistics.by_tag import TagResult, by_tag
from evals.statistics.data import (
    CaseOutcomes,
    at_once_mean,
    first_answers_are_known,
    pass_mean,
    score_lost,
    score_mean,
)
from evals.statistics.detectable import smallest_drop_points
from evals.statistics.distributions import Floats
from evals.statistics.intervals import Interval
from evals.statistics.paired import (
    LEAST_GROUPS,
    Grouping,
    clustered_t,
    difference_interval,
    grouping,
    mcnemar,
)
from evals.statistics.rules import Rules

MCNEMAR: Final = "one-sided mid-p McNemar test"
PAIRED_T: Final = "one-sided paired t test, errors clustered by group"


def p_values(differences: Floats, groups: Grouping, *, single: bool) -> Floats:
    """Return the p values of the verdict's test, for rows of differences of at least two groups.

    Args:
        differences: Candidate minus baseline of the means over repeats, as (rows, cases).
        groups: The group of each case.
        single: Whether the values of each arm are single passes.
    """
    if single and groups.single:
        return mcnemar(differences)
    return clustered_t(differences, groups)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both arms of at least one case, as arrays over cases."""

    passes: Floats
    """Candidate minus baseline of the share of passes."""
    tested: Floats
    """The same of scores if a judge scores, and of passes otherwise."""
    at_once: Floats | None
    """The same of valid first answers. None if those of a repeat are unknown."""
    groups: Grouping
    single: bool
    """Whether each arm has one repeat."""
    judged: bool
    """Whether a judge scores."""
    loss: float
    """The tested value that a case loses when it fails."""

    @classmethod
    def of(cls, cases: Sequence[CaseOutcomes], *, judged: bool) -> Comparison:
        passes = [pass_mean(each.candidate) - pass_mean(each.baseline) for each in cases]
        scores = [score_mean(each.candidate) - score_mean(each.baseline) for each in cases]
        single = all(len(each.baseline) == len(each.candidate) == 1 for each in cases)
        outcomes = [outcome for each in cases for outcome in (*each.baseline, *each.candidate)]
        firsts = [at_once_mean(each.candidate) - at_once_mean(each.baseline) for each in cases]
        return cls(
            passes=np.array(passes),
            tested=np.array(scores if judged else passes),
            at_once=np.array(firsts) if first_answers_are_known(outcomes) else None,
            groups=grouping([each.group for each in cases]),
            single=single,
            judged=judged,
            loss=score_lost(outcomes) if judged else 1.0,
        )

    @property
    def points(self) -> float:
        """Candidate minus baseline of the pass rate, in percentage points."""
        return float(self.passes.mean() * 100)

    @property
    def test(self) -> str:
        return MCNEMAR if self._is_single and self.groups.single else PAIRED_T

    @property
    def p(self) -> float | None:
        if self.groups.count < LEAST_GROUPS:
            return None
        return float(p_values(self.tested, self.groups, single=self._is_single))

    @property
    def p_at_once(self) -> float | None:
        """Return the p value of the valid first answers, if all are known."""
        if self.at_once is None or self.groups.count < LEAST_GROUPS:
            return None
        return float(p_values(self.at_once, self.groups, single=self.single))

    @property
    def _is_single(self) -> bool:
        """Whether the tested values are single passes."""
        return self.single and not self.judged

    def interval(self) -> Interval | None:
        """Return the interval at 95 % of `points`."""
        if self.groups.count < LEAST_GROUPS:
            return None
        shares = difference_interval(self.passes, self.groups)
        return Interval(shares.low * 100, shares.high * 100)

    def smallest_drop(self, rules: Rules) -> float | None:
        """Return the smallest drop in points that the wanted power finds, or None."""
        if self.groups.count < LEAST_GROUPS:
            return None
        return smallest_drop_points(self.tested, self.groups, rules, loss=self.loss)

    def by_tag(self, cases: Sequence[CaseOutcomes]) -> tuple[TagResult, ...]:
        """Return the comparison within each tag of the same cases."""
        return by_tag(
            [each.tags for each in cases],
            [each.group for each in cases],
            self.passes,
            self.tested,
            single=self._is_single,
        )


def comparison_of_halves(cases: Sequence[CaseOutcomes], *, judged: bool) -> Comparison:
    """Compare halves of the candidate's repeats, as if each arm had all of them.

    The difference of halves is noise. It is scaled to that of means over all repeats. A case with
    one repeat shows no noise.
    """
    halves = [len(each.candidate) // 2 or 1 for each in cases]
    found = Comparison.of(
        [
            replace(each, baseline=each.candidate[:half], candidate=each.candidate[-half:])
            for each, half in zip(cases, halves, strict=True)
        ],
        judged=judged,
    )
    sizes = [len(each.candidate) for each in cases]
    scale = np.sqrt(np.array(halves) / np.array(sizes))
    return replace(found, tested=found.tested * scale)
