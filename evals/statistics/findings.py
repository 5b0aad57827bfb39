"""The sentences that decide a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from evals.statistics.rules import Rules

if TYPE_CHECKING:
    from evals.statistics.comparison import Comparison

ROUNDING: Final = 1e-9
"""Tolerance of limits that a value may reach exactly, such as a drop of ten points."""

EARLIER: Final = "An earlier run of this prompt did not pass."


def unscored(share: float, rules: Rules) -> Iterator[str]:
    if share > rules.max_unscored_share + ROUNDING:
        yield f"{share:.1%} of repeats are unscored, more than {rules.max_unscored_share:.0%}."


def too_few(comparison: Comparison | None, rules: Rules) -> Iterator[str]:
    """Return why the cases are no evidence, and what they cannot show."""
    if comparison is None:
        yield "No case has scored outcomes in both arms."
        return
    cases = len(comparison.passes)
    if comparison.p is None:
        yield "A test needs at least two groups of cases. All cases are in one."
    if cases < rules.least_cases:
        yield (
            f"Evidence needs {rules.least_cases} cases, and this comparison has {cases}. "
            f"{unseen(comparison.smallest_drop(rules), rules)}"
        )


def unseen(drop: float | None, rules: Rules) -> str:
    """Return what a comparison cannot show, from the smallest drop that it finds."""
    which = "any drop" if drop is None else f"a drop below {drop:.0f} points"
    return f"It cannot show {which} with {rules.wanted_power:.0%} power."


def p_value(p: float) -> str:
    """Return a p value in words: four decimals, two from 0.1."""
    if p < 0.0001:  # noqa: PLR2004 (the last digit)
        return "p < 0.0001"
    return f"p = {p:.4f}" if p < 0.1 else f"p = {p:.2f}"  # noqa: PLR2004 (no test is near)


def regressed(comparison: Comparison, rules: Rules) -> Iterator[str]:
    """Return which limits of the test and of the drop are exceeded."""
    p = comparison.p
    if p is None:
        return
    if p < rules.alpha:
        yield f"The candidate is worse: {p_value(p)}, below {rules.alpha:g}."
    firsts, p_at_once = comparison.at_once, comparison.p_at_once
    if firsts is not None and p_at_once is not None and p_at_once < rules.at_once_alpha:
        lost = -float(firsts.mean() * 100)
        yield (
            f"First answers are valid {lost:.1f} points less often, so more calls repair them: "
            f"{p_value(p_at_once)}, below {rules.at_once_alpha:g}."
        )
    if _dropped(comparison, rules) and p < rules.drop_alpha:
        yield (
            f"The pass rate dropped by {-comparison.points:.1f} points. "
            f"The limit is {rules.drop_points:g}."
        )


def noisy_drop(comparison: Comparison, rules: Rules) -> Iterator[str]:
    """Return a sentence about a drop that reaches the limit and that noise can explain."""
    p = comparison.p
    if p is not None and _dropped(comparison, rules) and p >= rules.drop_alpha:
        yield (
            f"The pass rate dropped by {-comparison.points:.1f} points, but noise can explain it "
            f"(p = {p:.3f}). More repeats or more independent cases can decide."
        )


def unknown_first_answers(comparison: Comparison) -> Iterator[str]:
    """Return a sentence about samples of an earlier release, which did not store their repairs."""
    if comparison.at_once is None:
        yield (
            "Of some repeats it is not known if the first answer was valid: an earlier release made"
            " them. Run both arms again, with --no-reuse."
        )


def broken_before(cases: Sequence[str]) -> Iterator[str]:
    """Return a sentence about each `must` case that broke in one run of a pool."""
    for case in cases:
        yield f"The case {case} may never break, and it broke in an earlier run. That stays."


def below_floor(rate: float, floor: float) -> Iterator[str]:
    if rate < floor - ROUNDING:
        yield f"The pass rate of {rate:.1%} is below the floor of {floor:.1%}."


def possible_drop(name: str, low: float, high: float, rules: Rules) -> str:
    """Return that a pool does not exclude a drop of a value, from the interval of its change."""
    return (
        f"{EARLIER} Now its pool must show that the {name} dropped by less than"
        f" {rules.drop_points:g} points. It shows {low * 100:+.1f} to {high * 100:+.1f} points,"
        f" with {1 - 2 * rules.pool_alpha:.2%} confidence. More repeats can decide."
    )


def possibly_below_floor(floor: float, low: float, high: float, confidence: float) -> str:
    """Return that a pool does not exclude a rate below the floor, from the rate's interval."""
    return (
        f"{EARLIER} Now its pool must show that the pass rate is not below the floor of"
        f" {floor:.1%}. It shows {max(0.0, low):.1%} to {min(1.0, high):.1%}, with"
        f" {confidence:.0%} confidence. More repeats can decide."
    )


def unknown_noise() -> str:
    """Return that the pool has too few repeats or groups to show the noise of its rate."""
    return (
        f"{EARLIER} Now its pool must show that the pass rate is not below the floor. Most cases"
        " need two repeats for that, and the cases need two groups."
    )


def suspicious(comparison: Comparison, rules: Rules) -> Iterator[str]:
    """Return a sentence about an improvement that a broken scorer can explain."""
    if comparison.points > rules.suspicious_points + ROUNDING:
        yield (
            f"The pass rate rose by {comparison.points:.1f} points. That is suspicious: a broken "
            "scorer passes one-sided tests. Look at the cases."
        )


def _dropped(comparison: Comparison, rules: Rules) -> bool:
    return -comparison.points >= rules.drop_points - ROUNDING
