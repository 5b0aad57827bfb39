"""The error rates of the verdict: its false alarms, and the share of drops that it finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from evals.statistics.data import CaseOutcomes, first_answers_are_known
from evals.statistics.distributions import Bools, Floats, Ints
from evals.statistics.paired import LEAST_GROUPS, grouping
from evals.statistics.rules import DEFAULT, LEAST_REPEATS, MUST_REPEATS, Rules
from evals.statistics.simulation import (
    CaseRepeats,
    Comparisons,
    Model,
    classify,
)

REPEATS: Final = (1, 2, 3, 5)
"""The numbers of repeats from which `repeats_for` chooses."""

SEED: Final = 20_260
ROUNDS: Final = 2_000


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """The verdicts on candidates with one planted drop."""

    drop_points: float
    regressions: float
    """Share of verdicts that are regressions. Without a drop they are false alarms."""
    not_comparable: float
    """Share of verdicts that are not comparable, such as a drop that noise can explain."""


@dataclass(frozen=True, slots=True)
class ErrorRates:
    """The verdict's error rates for one suite and number of repeats."""

    cases: int
    repeats: int
    rounds: int
    rows: tuple[ErrorRate, ...]
    """Drops that exceed the pass rate are left out."""

    @property
    def false_alarms(self) -> float | None:
        return self.regressions(0)

    def regressions(self, drop_points: float) -> float | None:
        """Return the share of regressions at a planted drop, or None if it was not planted."""
        return next((e.regressions for e in self.rows if e.drop_points == drop_points), None)


def stored_repeats(
    cases: Sequence[CaseOutcomes], *, arm: Literal["baseline", "candidate", "both"]
) -> tuple[CaseRepeats, ...]:
    """Return the repeats of one arm, or of both arms of a prompt compared with itself."""
    return tuple(
        CaseRepeats(
            each.id,
            each.group,
            each.must,
            (each.baseline if arm != "candidate" else ())
            + (each.candidate if arm != "baseline" else ()),
        )
        for each in cases
    )


def error_rates(
    cases: Sequence[CaseRepeats],
    *,
    repeats: int,
    judged: bool,
    rules: Rules = DEFAULT,
    floor: float = 0.0,
    drops: Sequence[float] = (0, 5, 10, 15),
    rounds: int = ROUNDS,
    seed: int = SEED,
) -> ErrorRates:
    """Simulate the verdict on candidates with planted drops, in percentage points.

    `simulation.Model` describes how repeats are drawn. The whole verdict is applied, with fresh
    repeats for `must` cases. 2,000 rounds of 150 cases with three repeats take about a second.

    Raises:
        ValueError: Too few cases have two repeats, so that the churn is unknown.
    """
    return _error_rates(
        Model(cases, judged=judged), repeats, rules, floor, tuple(drops), rounds, seed
    )


def _error_rates(
    model: Model,
    repeats: int,
    rules: Rules,
    floor: float,
    drops: tuple[float, ...],
    rounds: int,
    seed: int,
) -> ErrorRates:
    random = np.random.default_rng(seed)
    rows = []
    for drop in drops:
        if drop / 100 > model.rate:
            continue
        decided = classify(
            model.compare(rounds, repeats, drop / 100, random),
            groups=model.groups,
            must=model.must,
            judged=model.judged,
            floor=floor,
            rules=rules,
        )
        rows.append(
            ErrorRate(drop, float(decided.regression.mean()), float(decided.not_comparable.mean()))
        )
    return ErrorRates(len(model.cases), repeats, rounds, tuple(rows))


def repeats_for(
    cases: Sequence[CaseRepeats],
    wanted_power: float | None = None,
    *,
    judged: bool,
    rules: Rules = DEFAULT,
    rounds: int = ROUNDS,
    seed: int = SEED,
) -> tuple[int | None, tuple[ErrorRates, ...]]:
    """Return the smallest number of repeats with the wanted power, and the rates of each number.

    The power is the share of drops of `rules.target_drop_points` that are found. The number is
    None if five repeats are not enough.
    """
    wanted = rules.wanted_power if wanted_power is None else wanted_power
    target = rules.target_drop_points
    model = Model(cases, judged=judged)
    table = tuple(
        _error_rates(model, repeats, rules, 0.0, (0, target), rounds, seed) for repeats in REPEATS
    )
    enough = (rates.repeats for rates in table if (rates.regressions(target) or 0.0) >= wanted)
    return next(enough, None), table


def flips(
    cases: Sequence[CaseOutcomes],
    *,
    judged: bool,
    rules: Rules = DEFAULT,
    rounds: int = ROUNDS,
    seed: int = SEED,
) -> float:
    """Return the share of regressions among random splits of a prompt compared with itself.

    Each round divides the repeats of both arms of a case into two new arms of equal size. The cases
    of a group are divided alike, so that their errors stay correlated. Fresh repeats of `must`
    cases are drawn from the case's own. There is no floor: a rate below it is no false alarm.

    Raises:
        ValueError: No case has two repeats, or so few have that no split has a verdict.
    """
    stored = [
        each for each in stored_repeats(cases, arm="both") if len(each.outcomes) >= LEAST_REPEATS
    ]
    if not stored:
        raise ValueError("No case has two repeats to divide.")
    random = np.random.default_rng(seed)
    counts = np.array([len(each.outcomes) for each in stored])
    passed = _padded([[o.passed for o in each.outcomes] for each in stored])
    values = _padded([[o.score for o in each.outcomes] for each in stored]) if judged else passed
    at_once = _padded([[bool(o.at_once) for o in each.outcomes] for each in stored])
    is_known = first_answers_are_known(o for each in stored for o in each.outcomes)
    groups = grouping([each.group for each in stored])
    if len(stored) < rules.least_cases or groups.count < LEAST_GROUPS:
        raise ValueError("No split has a verdict: it needs more cases with two repeats.")
    order = random.random((rounds, groups.count, passed.shape[1]))[:, groups.of_case]
    order[:, np.arange(passed.shape[1]) >= counts[:, np.newaxis]] = np.inf
    rank = order.argsort(axis=2).argsort(axis=2)
    half = counts // 2
    first = rank < half[:, np.newaxis]
    second = ~first & (rank < 2 * half[:, np.newaxis])
    drawn = (random.random((MUST_REPEATS, rounds, len(stored))) * counts).astype(np.int64)
    fresh = passed[np.arange(len(stored)), drawn].any(axis=0)
    decided = classify(
        Comparisons(
            baseline=_means(passed, first, half),
            candidate=_means(passed, second, half),
            tested=_means(values, second, half) - _means(values, first, half),
            at_once=(
                _means(at_once, second, half) - _means(at_once, first, half) if is_known else None
            ),
            fresh_failed=~fresh,
            repeats=half,
        ),
        groups=groups,
        must=np.array([each.must for each in stored], dtype=np.bool_),
        judged=judged,
        floor=0.0,
        rules=rules,
    )
    return float(decided.regression.mean())


def _padded(rows: Sequence[Sequence[float]]) -> Floats:
    """Return rows of different lengths as one array, filled with zeros."""
    filled = np.zeros((len(rows), max(len(row) for row in rows)))
    for index, row in enumerate(rows):
        filled[index, : len(row)] = row
    return filled


def _means(values: Floats, chosen: Bools, size: Ints) -> Floats:
    """Return the means of the chosen repeats: from (rounds, cases, repeats) to (rounds, cases)."""
    return np.asarray((values * chosen).sum(axis=2) / size, dtype=np.float64)


def badge(rates: ErrorRates, rules: Rules = DEFAULT) -> str:
    """Return the error rates in a few words, each rounded to its worse side.

    >>> badge(rates)
    'catches a 15-point drop 99 %, cries wolf 3 %'
    """
    points = rules.target_drop_points
    power, alarms = rates.regressions(points), rates.false_alarms
    caught = "?" if power is None else f"{math.floor(round(power * 100, 6))} %"
    wolf = "?" if alarms is None else f"{math.ceil(round(alarms * 100, 6))} %"
    return f"catches a {points:g}-point drop {caught}, cries wolf {wolf}"
