"""Projection of a feature's daily spend for another number of users, with an interval. Pure.

Each user's spend of a day is an observation. Users who could use the feature and spent nothing
count with zero. The interval covers the differences between users, and the differences between
days: of all users together or of each alone, the wider of the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Final

LEAST_SPENDERS: Final = 5
"""Users with spend below which the projection is unknown."""

LEAST_DAYS: Final = 3
"""Days with spend below which it is unknown."""

DAYS: Final = 7
"""Full UTC days before today that are read."""

_T90: Final = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)
"""95th percentiles of Student's t with 1, 2, ... 10 degrees of freedom."""

_T90_MORE: Final = 1.8
"""An upper limit of it for more degrees of freedom."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Spend of a day in micro-dollars: an estimate with a 90 % interval for a single day."""

    low: int
    mid: int
    high: int


def project(
    spend: Mapping[int, Sequence[int]], *, users_now: int, users_after: int
) -> Projection | None:
    """Return the projected spend of a day with `users_after` users; None if it is unknown.

    Args:
        spend: By user with spend, micro-dollars of each full day, in the same order of days.
        users_now: Users who could use the feature on a day of these, those without spend included.
        users_after: Users who could use it afterwards.

    Example:
        >>> week = {user: [1_000_000] * 7 for user in range(10)}
        >>> project(week, users_now=10, users_after=20).mid
        20000000
    """
    if users_after <= 0:
        return Projection(0, 0, 0)
    days = [sum(day) for day in zip(*spend.values(), strict=True)]
    if len(spend) < LEAST_SPENDERS or sum(day > 0 for day in days) < LEAST_DAYS:
        return None
    users = max(users_now, len(spend))
    means = [fmean(each) for each in spend.values()]
    mean = math.fsum(means) / users
    mid = mean * users_after
    of_users = _variance(means, mean, users) * _other_users(users, users_after)
    # A day differs from the mean by what all users have in common, and by each user's own spread.
    scale = users_after / users
    in_common = variance(days) * scale**2
    own = sum(variance(each) for each in spend.values()) * scale
    of_days = max(in_common, own) * (1 + 1 / len(days))
    # Spend is skewed and never negative, so the interval is one of a log-normal variable.
    spread = math.sqrt(math.log1p((of_users + of_days) / mid**2))
    factor = math.exp(_t(min(len(spend), len(days)) - 1) * spread)
    return Projection(round(mid / factor), round(mid), round(mid * factor))


def _variance(means: Sequence[float], mean: float, users: int) -> float:
    """Return the sample variance of these means, and of zeros up to the number of users."""
    squares = math.fsum((each - mean) ** 2 for each in means)
    return (squares + (users - len(means)) * mean**2) / (users - 1)


def _other_users(before: int, after: int) -> float:
    """Return the variance of a sum over other users than those seen, per variance of one user.

    With more users: their number, and the uncertainty of their mean. With fewer: a sample of those
    seen.
    """
    if after <= before:
        return after * (1 - after / before)
    new = after - before
    return new + new**2 / before


def _t(degrees: int) -> float:
    return _T90[degrees - 1] if degrees <= len(_T90) else _T90_MORE
