"""Intervals of shares, of differences of shares, and of the net promoter score, at 95 %."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self

Z: Final = 1.959964
"""The quantile of the normal distribution for 95 %, two-sided."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Both ends of an interval, in the unit of its estimate."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `total`."""

    count: int
    total: int

    @property
    def rate(self) -> float | None:
        """The share, 0 to 1; None of nothing."""
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> Interval | None:
        return wilson(self.count, self.total) if self.total else None


@dataclass(frozen=True, slots=True)
class Nps:
    """A net promoter score: the share that scores 9 or 10 minus the share that scores 0 to 6."""

    promoters: int
    passives: int
    detractors: int

    @classmethod
    def of(cls, scores: dict[int, int]) -> Self:
        """Return it for the number of answers by score, 0 to 10."""
        promoters = scores.get(9, 0) + scores.get(10, 0)
        detractors = sum(scores.get(each, 0) for each in range(7))
        return cls(promoters, sum(scores.values()) - promoters - detractors, detractors)

    @property
    def answers(self) -> int:
        return self.promoters + self.passives + self.detractors

    @property
    def score(self) -> float | None:
        """The score, -100 to 100; None without answers."""
        return 100 * (self.promoters - self.detractors) / self.answers if self.answers else None

    @property
    def interval(self) -> Interval | None:
        """The interval of the score: the variance of a trinomial, with three more answers.

        The three (3/4 promoters, 3/2 passives, 3/4 detractors) keep it honest for few answers, as
        when all are promoters. Source: Rocks, Interval estimation for the net promoter score, The
        American Statistician 70 (2016), the adjusted Wald interval.
        """
        if not self.answers:
            return None
        total = self.answers + 3
        up, down = (self.promoters + 0.75) / total, (self.detractors + 0.75) / total
        middle = up - down
        half = Z * math.sqrt((up + down - middle**2) / total)
        return Interval(100 * max(-1.0, middle - half), 100 * min(1.0, middle + half))


def wilson(count: int, total: int, z: float = Z) -> Interval:
    """Return Wilson's score interval of a share, between 0 and 1. `total` is positive.

    Each end is a one-sided bound too: `z` is the quantile of its probability.
    """
    rate, square = count / total, z**2
    centre = (rate + square / (2 * total)) / (1 + square / total)
    half = z / (1 + square / total) * math.sqrt(rate * (1 - rate) / total + square / (4 * total**2))
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def newcombe(one: Share, other: Share) -> Interval:
    """Return the interval of `one.rate - other.rate`. Both have a positive total.

    Source: Newcombe, Interval estimation for the difference between independent proportions,
    Statistics in Medicine 17 (1998), method 10: it is made of the two Wilson intervals.
    """
    rates = one.count / one.total, other.count / other.total
    first, second = wilson(one.count, one.total), wilson(other.count, other.total)
    difference = rates[0] - rates[1]
    below = math.hypot(rates[0] - first.low, second.high - rates[1])
    above = math.hypot(first.high - rates[0], rates[1] - second.low)
    return Interval(difference - below, difference + above)
