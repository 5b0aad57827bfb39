"""The verdict on the weekly run of a live prompt, and the limits of its confirmation.

Both runs are compared with the same baseline. If its figures are high by chance, both runs drop, so
the same limits twice would give more false actions than the product of both probabilities. The
stricter limits of the confirmation make up for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from evals.statistics import findings
from evals.statistics.data import CaseOutcomes
from evals.statistics.rules import DEFAULT, Rules
from evals.statistics.verdict import Decision, Verdict, alone, decide

CONFIRMING: Final = Rules(alpha=0.005, drop_alpha=0.005, at_once_alpha=0.001)
"""The limits of the confirmation. A drop of `drop_points` confirms too, with any p value.

With 100 cases or more, an unchanged prompt is then confirmed as a regression in at most 0.25 % of
weeks, as if two independent tests had 5 % each: 0.4 times a year for three features, and not 7.8.
With the limits of the first run it would be 0.8 %. `tests/unit/evals/test_weekly.py` simulates it.
"""


def judge(
    cases: Sequence[CaseOutcomes],
    *,
    judged: bool,
    floor: float,
    unscored: int,
    total: int,
    blocked: Sequence[str] = (),
    rules: Rules = DEFAULT,
) -> Verdict:
    """Return the verdict on a run of a live prompt.

    The arguments are those of `decide`. Cases without outcomes of the baseline are new or changed:
    they are not compared, and count for the floor only. If no case has such outcomes, the floor
    alone decides.
    """
    shared = [each for each in cases if each.baseline]
    by_floor = alone(
        cases,
        judged=judged,
        floor=floor,
        unscored=unscored,
        total=total,
        blocked=blocked,
        rules=rules,
    )
    if not shared:
        return by_floor
    compared = decide(
        shared,
        judged=judged,
        floor=0.0,
        unscored=unscored,
        total=total,
        blocked=blocked,
        rules=rules,
    )
    return replace(
        compared,
        decision=_together(by_floor.decision, compared.decision),
        reasons=tuple(dict.fromkeys((*by_floor.reasons, *compared.reasons))),
        only_below_floor=by_floor.only_below_floor and compared.decision is Decision.PASS,
        floor=by_floor.floor,
        floor_rate=by_floor.floor_rate,
        floor_failures=by_floor.floor_failures,
    )


def _together(by_floor: Decision, compared: Decision) -> Decision:
    """Return the decision from both. Only a reason that blocks leaves the floor undecided."""
    if by_floor is Decision.PASS:
        return compared
    return by_floor


def is_alarm(verdict: Verdict, rules: Rules = DEFAULT) -> bool:
    """Return whether a verdict is a regression, or a drop of `drop_points` with any p value."""
    points = verdict.difference_points
    dropped = points is not None and -points >= rules.drop_points - findings.ROUNDING
    return verdict.decision is Decision.REGRESSION or dropped


def is_measured(verdict: Verdict, rules: Rules = DEFAULT) -> bool:
    """Return whether enough repeats are scored for any conclusion."""
    return verdict.unscored_share <= rules.max_unscored_share + findings.ROUNDING
