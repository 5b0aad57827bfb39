"""The verdict on the pooled repeats of all runs of one prompt.

The author of a prompt may run it again until it passes, and stop then. Each further run is then one
more chance for noise to hide a drop. So a prompt that once did not pass needs more than the absence
of a regression: its pool must exclude a drop of `Rules.drop_points` with the confidence of
`Rules.pool_alpha`. By that level alone, a further run passes such a drop with a probability of
about `pool_alpha`, however noisy the suite is. In 60,000 simulated trials of each of eight suites,
no drop of ten points passed by a second or third run. docs/decisions/eval-pool.md has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from evals.statistics import findings
from evals.statistics.comparison import Comparison, comparison_of_halves
from evals.statistics.data import CaseOutcomes, pass_mean
from evals.statistics.distributions import t_quantile
from evals.statistics.intervals import CONFIDENCE, Interval
from evals.statistics.paired import LEAST_GROUPS, Grouping, standard_error
from evals.statistics.rules import DEFAULT, LEAST_REPEATS, MUST_REPEATS, Rules, shows_churn
from evals.statistics.verdict import Decision, Verdict, alone, decide


def judge(
    cases: Sequence[CaseOutcomes],
    *,
    judged: bool,
    floor: float,
    unscored: int,
    total: int,
    blocked: Sequence[str] = (),
    failed_before: bool,
    rules: Rules = DEFAULT,
) -> Verdict:
    """Return the verdict on a pool.

    Args:
        cases: The scored repeats of all runs, in the order in which they were made. Those of
            stopped runs belong to them, and so do the fresh repeats of each run. Without a repeat
            of a baseline, the floor alone decides.
        judged: Whether a judge scores.
        floor: The least pass rate, from 0 to 1.
        unscored: The number of unscored repeats of both arms in all runs.
        total: The number of all repeats of both arms, without fresh ones.
        blocked: Sentences on why the arms do not compare.
        failed_before: Whether `is_failure` holds for the verdict on an earlier, smaller pool. It is
            also true if the pool has repeats of a run that was stopped and not resumed: its author
            may have seen the results and stopped it because of them.
        rules: The limits.

    A pass is evidence only at the end of a complete run. To judge a pool while a run is under way
    gives its author as many looks as repeats.

    The pool must pass `decide`, or `alone` without a baseline. After a failure it must also show:

    - that the pass rate, the score and the valid first answers dropped by less than
      `rules.drop_points`, by intervals clustered by group with `rules.pool_alpha` at each end;
    - that the pass rate is not below the floor, by its interval at 95 %. This interval measures the
      noise of repeats on these cases, because only that noise changes from run to run.

    Otherwise the pool is not comparable, and more repeats can decide.

    A `must` case that broke in one run stays broken: later passes do not repair it.
    """
    is_paired = any(each.baseline for each in cases)
    doubts: list[str] = []
    if failed_before:
        doubts += _possible_drops(cases, judged=judged, rules=rules) if is_paired else ()
        doubts += _possibly_below_floor(cases, floor)
    form = decide if is_paired else alone
    return form(
        cases,
        judged=judged,
        floor=floor,
        unscored=unscored,
        total=total,
        blocked=blocked,
        broken_before=[each.id for each in cases if _broke_once(each)],
        doubts=doubts,
        rules=rules,
    )


def is_failure(verdict: Verdict, rules: Rules = DEFAULT) -> bool:
    """Return whether a verdict takes the ordinary rule from all later pools of its prompt.

    A regression does, and a drop that noise can explain does. Reasons that no noise decides do not:
    unscored repeats, too few cases, other models. If such a reason hides a regression, the verdict
    is a failure nevertheless, because its author saw the figures.
    """
    points = verdict.difference_points
    return (
        verdict.decision is Decision.REGRESSION
        or bool(verdict.must_broken)
        or verdict.only_below_floor
        or (points is not None and -points >= rules.drop_points - findings.ROUNDING)
        or (verdict.p is not None and verdict.p < rules.alpha)
        or (verdict.p_at_once is not None and verdict.p_at_once < rules.at_once_alpha)
    )


def _broke_once(case: CaseOutcomes) -> bool:
    """Return whether a `must` case broke in one run, or in the first runs together.

    Fresh repeats exist only if all others of their run failed, so failures of them in a row are
    enough. Without fresh ones, the repeats after the first three count as such.
    """
    if not case.must:
        return False
    if case.fresh:
        marks = "".join("+" if outcome.passed else "-" for outcome in case.fresh)
        return "-" * MUST_REPEATS in marks
    before, after = case.baseline[:MUST_REPEATS], case.candidate[: 2 * MUST_REPEATS]
    return (
        len(before) == MUST_REPEATS
        and len(after) == 2 * MUST_REPEATS
        and all(outcome.passed for outcome in before)
        and not any(outcome.passed for outcome in after)
    )


def _possible_drops(cases: Sequence[CaseOutcomes], *, judged: bool, rules: Rules) -> Iterator[str]:
    """Return a sentence about each value whose drop of `drop_points` the pool does not exclude."""
    paired = [each for each in cases if each.baseline and each.candidate]
    if not paired:
        return
    compared = Comparison.of(paired, judged=judged)
    if compared.groups.count < LEAST_GROUPS:
        return
    values = {"pass rate": compared.passes}
    if judged:
        # Without a loss, failures have no lower scores. Then points of the score count.
        loss = compared.loss if compared.loss > findings.ROUNDING else 1.0
        values["score, in points of the pass rate,"] = compared.tested / loss
    if compared.at_once is not None:
        values["share of valid first answers"] = compared.at_once
    for name, differences in values.items():
        error = float(standard_error(differences, compared.groups))
        found = _interval(float(differences.mean()), error, compared.groups, rules.pool_alpha)
        if found.low * 100 <= -rules.drop_points:
            yield findings.possible_drop(name, found.low, found.high, rules)


def _possibly_below_floor(cases: Sequence[CaseOutcomes], floor: float) -> Iterator[str]:
    """Return a sentence if the rate may be below the floor, by the noise of repeats.

    The noise is that between halves of the repeats, which is also that of a difference of two arms.
    """
    scored = [each for each in cases if each.candidate]
    repeated = [each for each in scored if len(each.candidate) >= LEAST_REPEATS]
    is_known = shows_churn([len(each.candidate) for each in scored])
    if not is_known or len({each.group for each in repeated}) < LEAST_GROUPS:
        yield findings.unknown_noise()
        return
    noise = comparison_of_halves(repeated, judged=False)
    error = float(standard_error(noise.tested, noise.groups)) / math.sqrt(2)
    rate = sum(pass_mean(each.candidate) for each in scored) / len(scored)
    found = _interval(rate, error, noise.groups, (1 - CONFIDENCE) / 2)
    if rate >= floor - findings.ROUNDING > max(0.0, found.low):
        yield findings.possibly_below_floor(floor, found.low, found.high, CONFIDENCE)


def _interval(mean: float, error: float, groups: Grouping, alpha: float) -> Interval:
    """Return the t interval with a probability of `alpha` beyond each end."""
    half = t_quantile(1 - alpha, groups.count - 1) * error
    return Interval(mean - half, mean + half)
