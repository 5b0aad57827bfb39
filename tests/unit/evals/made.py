"""Suites with chosen outcomes, and simulated comparisons with chosen pass probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.statistics.data import CaseOutcomes, Outcome
from evals.statistics.distributions import Bools, Floats, Ints
from evals.statistics.paired import Grouping, grouping
from evals.statistics.rules import DEFAULT
from evals.statistics.simulation import Comparisons, Decisions, classify
from evals.statistics.verdict import Verdict, decide


def outcomes(marks: str) -> tuple[Outcome, ...]:
    """Return one repeat for each character: + passes, - fails."""
    return tuple(Outcome(mark == "+", float(mark == "+")) for mark in marks)


def case(
    name: str,
    baseline: str,
    candidate: str,
    *,
    group: str | None = None,
    must: bool = False,
    tags: tuple[str, ...] = (),
    fresh: str = "",
) -> CaseOutcomes:
    return CaseOutcomes(
        name, group or name, must, tags, outcomes(baseline), outcomes(candidate), outcomes(fresh)
    )


def suite(counts: dict[tuple[str, str], int]) -> list[CaseOutcomes]:
    """Return cases by their outcomes in the baseline and the candidate."""
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    return [case(f"c{number}", *pair) for number, pair in enumerate(pairs)]


def singles(*, worse: int = 0, better: int = 0, cases: int = 100) -> list[CaseOutcomes]:
    """Return a suite with one repeat in each arm. The remaining cases pass in both."""
    same = cases - worse - better
    return suite({("+", "-"): worse, ("-", "+"): better, ("+", "+"): same})


def decided(
    cases: Sequence[CaseOutcomes],
    *,
    judged: bool = False,
    floor: float = 0.0,
    unscored: int = 0,
    total: int | None = None,
) -> Verdict:
    count = sum(len(each.baseline) + len(each.candidate) for each in cases) + unscored
    return decide(
        cases,
        judged=judged,
        floor=floor,
        unscored=unscored,
        total=count if total is None else total,
    )


def by_churn(churn: float, cases: int) -> Floats:
    """Return pass probabilities with which a share of cases flips each way between two repeats."""
    return np.full(cases, (1 + np.sqrt(1 - 4 * churn)) / 2)


def flaky(share: float, cases: int) -> Floats:
    """Return pass probabilities of 0.5 for a share of the cases, and of 1 for the others."""
    return np.where(np.arange(cases) < share * cases, 0.5, 1.0)


def simulated(
    chances: Floats,
    repeats: int,
    *,
    drop: float = 0.0,
    first: Floats | None = None,
    groups: Grouping | None = None,
    rounds: int = 4_000,
    seed: int = 1,
) -> Comparisons:
    """Draw comparisons from known probabilities. The cases of a group share their fate.

    The drop is the share of groups of the candidate that fail for good. `first` has the
    probabilities of valid first answers, which are independent of the passes.
    """
    random = np.random.default_rng(seed)
    groups = groups or alone(len(chances))

    def drawn(count: int, chances: Floats = chances) -> Bools:
        passed = random.random((rounds, count, groups.count))[..., groups.of_case] < chances
        return np.asarray(passed)

    broken = (random.random((rounds, groups.count)) < drop)[:, groups.of_case]
    before = drawn(repeats).mean(axis=1)
    after = (drawn(repeats) & ~broken[:, np.newaxis]).mean(axis=1)
    fresh_failed = broken | ~drawn(3).any(axis=1)
    counts: Ints = np.full(len(chances), repeats)
    at_once = None
    if first is not None:
        at_once = drawn(repeats, first).mean(axis=1) - drawn(repeats, first).mean(axis=1)
    return Comparisons(before, after, after - before, at_once, fresh_failed, counts)


def alone(cases: int) -> Grouping:
    return grouping([str(number) for number in range(cases)])


def classified(
    rounds: Comparisons, *, groups: Grouping | None = None, must: Bools | None = None
) -> Decisions:
    cases = rounds.tested.shape[1]
    return classify(
        rounds,
        groups=groups or alone(cases),
        must=np.zeros(cases, dtype=np.bool_) if must is None else must,
        judged=False,
        floor=0.0,
        rules=DEFAULT,
    )
