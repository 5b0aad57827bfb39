"""Simulated comparisons, decided many at a time.

`classify` is the vectorised form of `verdict.decide`. A test compares both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from evals.statistics.comparison import p_values
from evals.statistics.data import Outcome, score_lost
from evals.statistics.distributions import Bools, Floats, Ints
from evals.statistics.findings import ROUNDING
from evals.statistics.paired import LEAST_GROUPS, Grouping, grouping
from evals.statistics.rules import (
    LEAST_REPEATS,
    MUST_REPEATS,
    MUST_SHARE,
    Rules,
    shows_churn,
)

MOST_PRIOR: Final = 50.0
"""Largest weight of the prior, in repeats, for cases that are all alike."""


@dataclass(frozen=True, slots=True)
class CaseRepeats:
    """The stored repeats of one case in one arm."""

    id: str
    group: str
    must: bool
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Rounds of comparisons, as arrays of (rounds, cases)."""

    baseline: Floats
    """Share of passes among a case's repeats."""
    candidate: Floats
    tested: Floats
    """Candidate minus baseline of the tested means: scores if a judge scores, else passes."""
    at_once: Floats | None
    """The same of valid first answers. None if no answer was repaired, or if one is unknown."""
    fresh_failed: Bools
    """Whether the case would fail in all fresh repeats."""
    repeats: Ints
    """The number of repeats of each case in each arm, as (cases,)."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """The decision of each round."""

    regression: Bools
    not_comparable: Bools


def classify(
    rounds: Comparisons,
    *,
    groups: Grouping,
    must: Bools,
    judged: bool,
    floor: float,
    rules: Rules,
) -> Decisions:
    """Return the decisions of `verdict.decide` on rounds without unscored repeats."""
    count, cases = rounds.tested.shape
    if groups.count < LEAST_GROUPS or cases < rules.least_cases:
        return Decisions(np.zeros(count, dtype=np.bool_), np.ones(count, dtype=np.bool_))
    single = bool((rounds.repeats == 1).all())
    p = p_values(rounds.tested, groups, single=single and not judged)
    points = (rounds.candidate - rounds.baseline).mean(axis=1) * 100
    dropped = -points >= rules.drop_points - ROUNDING
    failed = must & (rounds.baseline >= MUST_SHARE - ROUNDING) & (rounds.candidate == 0)
    is_enough = rounds.repeats >= MUST_REPEATS
    broken = (failed & is_enough & rounds.fresh_failed).any(axis=1)
    undecided = dropped | (failed & ~is_enough).any(axis=1)
    below = rounds.candidate.mean(axis=1) < floor - ROUNDING
    regression = (p < rules.alpha) | (dropped & (p < rules.drop_alpha)) | broken | below
    if rounds.at_once is not None:
        regression |= p_values(rounds.at_once, groups, single=single) < rules.at_once_alpha
    return Decisions(regression, undecided & ~regression)


class Model:
    """Draws repeats that resemble the stored ones of a suite.

    The pass probabilities of cases follow a beta distribution. Its mean is the pass rate, and its
    weight is fitted to the churn: the probability that two repeats of a case differ. Churn is the
    noise of a comparison, so the fit preserves the false alarms. Shares of passes without the
    distribution do not: a case that passed three times of three would never fail again. A fixed
    prior, such as Jeffreys's, does not either: it lets such a case fail one time in eight. Each
    round draws the probability of each case from its posterior, given the case's own repeats.

    The cases of a group share their fate: each repeat uses one random number for the whole group.
    That is the strongest correlation, so it does not flatter the gate.

    Valid first answers are drawn in the same way, and independently of passes.
    """

    def __init__(self, cases: Sequence[CaseRepeats], *, judged: bool) -> None:
        """Fit the distribution.

        Raises:
            ValueError: Too few cases have two repeats.
        """
        self.cases = [each for each in cases if each.outcomes]
        if not shows_churn([len(each.outcomes) for each in self.cases]):
            raise ValueError("Churn cannot be estimated. Run each case at least twice.")
        self.groups = grouping([each.group for each in self.cases])
        self.must: Bools = np.array([each.must for each in self.cases], dtype=np.bool_)
        self.judged = judged
        passes = np.array([sum(o.passed for o in each.outcomes) for each in self.cases])
        repeats = np.array([len(each.outcomes) for each in self.cases])
        prior = _prior(passes, repeats)
        # Cases of one group with the same counts share one probability.
        alike = np.stack([self.groups.of_case, passes, repeats], axis=1)
        rows, of_case = np.unique(alike, axis=0, return_inverse=True)
        self._row = of_case.reshape(-1)
        self._alpha = prior[0] + rows[:, 1]
        self._beta = prior[1] + rows[:, 2] - rows[:, 1]
        self.rate = float((self._alpha / (self._alpha + self._beta))[self._row].mean())
        self._scores = _Scores(self.cases) if judged else None
        firsts = {outcome.at_once for each in self.cases for outcome in each.outcomes}
        is_tested = False in firsts and None not in firsts
        self._at_once = Model(_first_answers(self.cases), judged=False) if is_tested else None

    def compare(
        self, rounds: int, repeats: int, drop: float, random: np.random.Generator
    ) -> Comparisons:
        """Draw both arms of each round.

        A drop of d makes cases of the candidate fail for good, each group with the probability
        that lowers the expected pass rate by d, as a share. Only a passing case loses by it.
        """
        of_case = self.groups.of_case
        chances = random.beta(self._alpha, self._beta, (rounds, len(self._alpha)))[:, self._row]
        broken = (random.random((rounds, self.groups.count)) < drop / self.rate)[:, of_case]
        baseline = self._draw(chances, repeats, random)
        candidate = self._draw(chances, repeats, random) & ~broken[:, np.newaxis]
        fresh = np.zeros_like(broken)
        if repeats >= MUST_REPEATS and self.must.any():
            again = self._draw(chances, MUST_REPEATS, random).any(axis=1)
            fresh = broken | ~again
        before, after = baseline.mean(axis=1), candidate.mean(axis=1)
        if self._scores:
            tested = self._scores.draw(candidate, random).mean(axis=1)
            tested -= self._scores.draw(baseline, random).mean(axis=1)
        else:
            tested = after - before
        each = np.full(len(self.cases), repeats)
        at_once = None
        if self._at_once:
            at_once = self._at_once.compare(rounds, repeats, 0.0, random).tested
        return Comparisons(before, after, tested, at_once, fresh, each)

    def _draw(self, chances: Floats, repeats: int, random: np.random.Generator) -> Bools:
        drawn = random.random((len(chances), repeats, self.groups.count))
        return np.asarray(drawn[..., self.groups.of_case] < chances[:, np.newaxis])


def _first_answers(cases: Sequence[CaseRepeats]) -> list[CaseRepeats]:
    """Return the cases with their valid first answers as passes."""
    return [
        replace(
            each,
            must=False,
            outcomes=tuple(Outcome(bool(o.at_once), float(bool(o.at_once))) for o in each.outcomes),
        )
        for each in cases
    ]


def _prior(passes: Ints, repeats: Ints) -> tuple[float, float]:
    """Return the parameters of the beta distribution of the pass probabilities.

    The moments are the mean and the probability that two repeats differ. Half a pass and half a
    flip are added, so that neither is exactly 0.
    """
    mean = float(((passes / repeats).sum() + 0.5) / (len(passes) + 1))
    many = repeats >= LEAST_REPEATS
    passed, of = passes[many], repeats[many]
    differ = float((2 * passed * (of - passed) / (of * (of - 1))).sum() + 0.5) / (len(of) + 1)
    within = min(1.0, differ / (2 * mean * (1 - mean)))
    weight = min(MOST_PRIOR, within / max(1 - within, 1 / MOST_PRIOR))
    return mean * weight, (1 - mean) * weight


class _Scores:
    """The stored scores of passes and of failures, those of a case if it has any."""

    def __init__(self, cases: Sequence[CaseRepeats]) -> None:
        pooled = [outcome for each in cases for outcome in each.outcomes]
        passes = [o.score for o in pooled if o.passed] or [1.0]
        failures = [o.score for o in pooled if not o.passed] or [
            sum(passes) / len(passes) - score_lost(pooled)
        ]
        self._of_passes = _Pool.of(cases, passes, passed=True)
        self._of_failures = _Pool.of(cases, failures, passed=False)

    def draw(self, passed: Bools, random: np.random.Generator) -> Floats:
        """Return a score for each repeat: (rounds, repeats, cases)."""
        place = random.random(passed.shape)
        return np.where(passed, self._of_passes.at(place), self._of_failures.at(place))


@dataclass(frozen=True, slots=True)
class _Pool:
    scores: Floats
    start: Ints
    size: Ints

    @classmethod
    def of(cls, cases: Sequence[CaseRepeats], pooled: list[float], *, passed: bool) -> _Pool:
        scores, start, size = list(pooled), [], []
        for each in cases:
            own = [o.score for o in each.outcomes if o.passed == passed]
            start.append(len(scores) if own else 0)
            size.append(len(own or pooled))
            scores += own
        return cls(np.array(scores), np.array(start), np.array(size))

    def at(self, place: Floats) -> Floats:
        index = self.start + (place * self.size).astype(np.int64)
        return np.asarray(self.scores[index], dtype=np.float64)
