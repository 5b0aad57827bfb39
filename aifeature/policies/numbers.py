"""The six numbers of a feature: their thresholds, and the level that follows from the figures.

`docs/design/numbers.md` describes them. `docs/decisions/six-numbers.md` has the reasons, with the
simulated rates of false alarms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from statistics import NormalDist, fmean, median, stdev
from types import MappingProxyType
from typing import Final, Literal

from aifeature.policies import clusters
from aifeature.policies.intervals import wilson

Unit = Literal["share", "s", "ratio", "points"]


class Six(StrEnum):
    """The names of the numbers, as in `HealthReading.number`."""

    ERRORS = "errors"
    LATENCY = "latency"
    COST = "cost"
    THUMBS_DOWN = "thumbs_down"
    EVALS = "evals"
    HALLUCINATIONS = "hallucinations"


class NumberLevel(StrEnum):
    """The values are those of `models.Level`."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Rule:
    """One number: its name, its threshold, and the data that it needs."""

    title: str
    unit: Unit
    threshold: float
    """Amber above it."""
    windows: tuple[timedelta, ...]
    """The first one with `least` samples counts: see `over_windows`."""
    least: int
    """Samples without which there is no level."""
    counted: str
    """The name of its samples, in the plural."""


_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)

RULES: Final = MappingProxyType(
    {
        Six.ERRORS: Rule(
            *("Error rate", "share", 0.02, (_HOUR, 6 * _HOUR, _DAY), 20, "ended requests")
        ),
        Six.LATENCY: Rule(
            *("Latency p95", "s", 10.0, (_HOUR, 6 * _HOUR, _DAY), 20, "answered requests")
        ),
        Six.COST: Rule("Cost per user and day", "ratio", 2.0, (_DAY,), 5, "users"),
        Six.THUMBS_DOWN: Rule("Thumbs down", "share", 0.2, (7 * _DAY,), 50, "votes"),
        Six.EVALS: Rule("Eval pass rate, drop", "points", 10.0, (7 * _DAY,), 1, "cases"),
        Six.HALLUCINATIONS: Rule("Hallucinations", "share", 0.05, (7 * _DAY,), 20, "labels"),
    }
)
"""The table of the six numbers. The thresholds are those of the roadmap."""

SURE_HOURLY: Final = NormalDist().inv_cdf(1 - 1e-8)
SURE_WEEKLY: Final = NormalDist().inv_cdf(0.99)
"""Quantiles of the one-sided bounds of shares. They are this high since each minute, and each vote,
is another chance of a false alarm. At most 0.5 % of quarters have one."""

LEAST_ERRORS: Final = 8
LEAST_SLOW: Final = 10
"""Requests without which an hourly share is not red."""

LEAST_PEOPLE: Final = 3
"""Fewest people with a bad request or vote of a red share. If the feature had fewer people, all of
them are enough. One person who repeats a request that fails must not pull a kill switch."""

SLOW_SHARE: Final = 0.05
"""Share of slow answers above which the 95th percentile is above 10 s."""

BOUNDS: Final = MappingProxyType(
    {
        Six.ERRORS: (RULES[Six.ERRORS].threshold, SURE_HOURLY),
        Six.LATENCY: (SLOW_SHARE, SURE_HOURLY),
        Six.THUMBS_DOWN: (RULES[Six.THUMBS_DOWN].threshold, SURE_WEEKLY),
    }
)
"""By share: what is red above it, and the quantile of its one-sided bound."""

LEAST_DAYS: Final = 3
BASELINE_DAYS: Final = 14
"""Complete days of which the median is the baseline of the cost, and the fewest of them."""

LEAST_SPEND_MICRO: Final = 50_000
"""Spend of a day below which no cost per user is too high: five cents."""

WEEK_RED: Final = 6
MONTH_RED: Final = 8
RED_SHARE: Final = 0.1
"""Hallucinations that are red in one week and in four, if they are a tenth of the labels: 6 of 60
and 8 of 80."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A number's value and level. Without enough data, both or the level are None."""

    value: float | None
    level: NumberLevel | None
    sample: int
    low: float | None = None
    high: float | None = None
    """The interval at 95 % of the value, if it has one. Levels have stricter bounds."""
    bound: float | None = None
    """Of a red share: the one-sided bound that is above the threshold."""


def errors(failed: int, ended: int) -> Judged:
    """Judge the share of failures."""
    is_red = failed >= LEAST_ERRORS and _surely_above(
        failed, ended, RULES[Six.ERRORS].threshold, SURE_HOURLY
    )
    return _share(Six.ERRORS, failed, ended, is_red=is_red)


def thumbs_down(down: int, votes: int) -> Judged:
    """Judge the share of first votes that are thumbs down."""
    is_red = _surely_above(down, votes, RULES[Six.THUMBS_DOWN].threshold, SURE_WEEKLY)
    return _share(Six.THUMBS_DOWN, down, votes, is_red=is_red)


def latency(p95_s: float | None, slow: int, timed: int) -> Judged:
    """Judge the 95th percentile of the latency in seconds, of which `slow` were above 10 s."""
    rule = RULES[Six.LATENCY]
    if p95_s is None or timed < rule.least:
        return Judged(p95_s, None, timed)
    is_red = slow >= LEAST_SLOW and _surely_above(slow, timed, SLOW_SHARE, SURE_HOURLY)
    return Judged(p95_s, _level(p95_s > rule.threshold, is_red), timed)


def over_windows(name: Six, found: Sequence[Judged]) -> tuple[int, Judged]:
    """Return the window that counts and what it shows, from all windows, the shortest first.

    The shortest window that is red counts, so that a moderate harm is seen at few requests too. A
    longer one is red only while the shortest one is not below the threshold, so that an alarm ends
    soon after its cause. Without a red one, the shortest window with enough data counts.
    """
    recent = found[0].value
    goes_on = recent is None or recent > RULES[name].threshold
    for at, each in enumerate(found):
        if each.level is NumberLevel.RED and goes_on:
            return at, each
    at = next((at for at, each in enumerate(found) if each.level is not None), len(found) - 1)
    is_over = found[at].level is NumberLevel.RED
    return at, replace(found[at], level=NumberLevel.AMBER) if is_over else found[at]


def by_people(name: Six, judged: Judged, counts: Sequence[tuple[int, int]], active: int) -> Judged:
    """Return what is judged, red only if this is not the work of a few people.

    Requests of one person fail together, since people repeat a request that failed. So the variance
    between people counts, as for samples of clusters (Rao and Scott, 1992), if it is larger.

    Args:
        name: The number: errors, latency or thumbs down.
        judged: Its level as if each request or vote were independent.
        counts: Bad requests or votes of each person, and all of theirs.
        active: People of the longest window.
    """
    if judged.level is not NumberLevel.RED:
        return judged
    share, z = BOUNDS[name]
    bad, total = (sum(each) for each in zip(*counts, strict=True)) if counts else (0, 0)
    is_enough = sum(1 for some, _ in counts if some) >= min(LEAST_PEOPLE, active)
    wide = z * math.sqrt(clusters.design_effect(counts))
    bound = wilson(bad, total, wide).low if total else 0.0
    if is_enough and bound > share:
        return replace(judged, bound=bound)
    return replace(judged, level=NumberLevel.AMBER)


def cost(users_micro: Sequence[int], days_micro: Sequence[float]) -> Judged:
    """Judge today's cost per user against the baseline, as a ratio.

    Args:
        users_micro: Micro-dollars of each user with a call in the last 24 hours.
        days_micro: Mean micro-dollars per user of each complete day before.

    The bound is Student's t over users, approximated by Cornish and Fisher. The cost of users is
    skewed to the right, which makes this lower bound conservative: a sample with a high mean has a
    high deviation too.
    """
    rule, users = RULES[Six.COST], len(users_micro)
    baseline = median(days_micro) if len(days_micro) >= LEAST_DAYS else 0.0
    if not users or baseline <= 0:
        return Judged(None, None, users)
    mean = fmean(users_micro)
    value = mean / baseline
    if users < rule.least:
        return Judged(value, None, users)
    error = stdev(users_micro) / math.sqrt(users) / baseline
    low, high = (value + sign * clusters.t(0.975, users - 1) * error for sign in (-1, 1))
    matters = sum(users_micro) >= LEAST_SPEND_MICRO
    is_red = matters and value - clusters.t(0.95, users - 1) * error > rule.threshold
    level = _level(matters and value > rule.threshold, is_red)
    return Judged(value, level, users, max(0.0, low), high)


def evals(
    decision: str, difference_points: float | None, cases: int, interval: Sequence[float] | None
) -> Judged:
    """Judge the drop of the pass rate in points, from the verdict of a weekly run.

    A run below its floor is red too, and has no value if nothing was compared.
    """
    rule = RULES[Six.EVALS]
    drop = None if difference_points is None else -difference_points
    low, high = (None, None) if interval is None else (-interval[1], -interval[0])
    is_high = drop is not None and drop > rule.threshold
    undecided = decision not in {"pass", "regression"} and not is_high
    level = None if undecided else _level(is_high, decision == "regression")
    return Judged(drop, level, cases, low, high)


def hallucinations(week: tuple[int, int], four_weeks: tuple[int, int]) -> Judged:
    """Judge labels as (hallucinated, all): of the newest week with labels, and of four weeks."""
    count, total = week
    reds = ((count, total, WEEK_RED), (*four_weeks, MONTH_RED))
    is_red = any(some >= most and some >= RED_SHARE * of for some, of, most in reds)
    return _share(Six.HALLUCINATIONS, count, total, is_red=is_red)


def _share(name: Six, count: int, total: int, *, is_red: bool) -> Judged:
    rule = RULES[name]
    if not total:
        return Judged(None, None, 0)
    value, ends = count / total, wilson(count, total)
    level = _level(value > rule.threshold, is_red) if total >= rule.least else None
    return Judged(value, level, total, ends.low, ends.high)


def _surely_above(count: int, total: int, share: float, z: float) -> bool:
    return total > 0 and wilson(count, total, z).low > share


def _level(is_high: bool, is_red: bool) -> NumberLevel:  # noqa: FBT001 (two answers in order)
    if is_red:
        return NumberLevel.RED
    return NumberLevel.AMBER if is_high else NumberLevel.GREEN
