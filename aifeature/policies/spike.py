"""Is this spend a spike? Decided from figures alone: the same for the check and its simulation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from statistics import median_low
from typing import Final

HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class SpikeRule:
    """When spend counts as a spike. The values of each scope were found by the simulation."""

    min_spend_micro: int
    """Micro-dollars of today below which nothing is a spike."""

    factor: float = 2
    """Times the baseline."""

    min_days: int = 3
    """Past days with spend below which there is no baseline."""

    margin: float = 0.25
    """Share of a usual whole day that must lie between the baseline and a spike. In the small
    hours the baseline is next to nothing, and twice that is noise."""

    over_highest: float = 0
    """Times the highest of the past days at this time of day that a spike must exceed as well; 0:
    not asked. What comes once a week has come within the last seven days."""

    over_highest_day: float = 0
    """Times the highest of the past whole days that a spike must exceed as well; 0: not asked. One
    person's days differ far more than those of many, and so do the hours at which they begin."""

    min_share: float = 0
    """Share of the feature's usual day below which a user's spend is no spike."""

    burn_hours: float = 8
    """A rate that would spend the whole cap of a day in so many hours is one that burns it..."""

    early_hours: float = 4
    """...if what is left of the cap then ends so many hours before the day does, or more."""


USER: Final = SpikeRule(
    min_spend_micro=2_000_000,
    margin=0.5,
    over_highest_day=4,
    min_share=0.05,
    burn_hours=0,
)
"""A user's cap needs no second guard: it is charged, and reached without harm to others."""

FEATURE: Final = SpikeRule(min_spend_micro=6_000_000, margin=0.4, over_highest=1.5)
EVERYTHING: Final = SpikeRule(min_spend_micro=10_000_000, margin=0.4, over_highest=1.5)


@dataclass(frozen=True, slots=True)
class PastDay:
    """Micro-dollars of a day in the past, raised where a launch is announced for today."""

    so_far: int
    """Until this time of day."""
    whole: int
    hour: int
    """In the sixty minutes before this time of day."""
    tripped: bool = False
    """Whether this check stopped it that day: not what a day should be held against at its
    highest. For the median it counts, so that real growth becomes the usual within days."""


@dataclass(frozen=True, slots=True)
class Spend:
    """What is known of a user, a feature or everything. All amounts in micro-dollars."""

    today: int
    latest_hour: int
    past: tuple[PastDay, ...]
    """Up to seven trailing UTC days; those on which nothing was spent tell nothing."""
    hours_left: float
    """Until the UTC day ends."""
    cap: int | None = None
    """Of the day; None is no cap."""
    dealt_with: int = 0
    """What of today is the excess of something smaller that was stopped or throttled for it."""
    released_at: int = 0
    """What was spent when a person released the switch that this check had pulled today."""
    usual_around: int = 0
    """What the feature around a user spends on a usual day."""


class Kind(StrEnum):
    """What the spend is."""

    OK = "ok"
    SPIKE = "spike"
    BURN = "burn"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided, with its numbers. Amounts in micro-dollars."""

    kind: Kind
    today: int
    baseline: int | None
    """None: too few days of history."""
    limit: int
    """Above how much today is a spike; the least spend that counts while nothing is known."""
    latest_hour: int
    cap: int | None
    cap_lasts_h: float | None
    """Hours after which the cap is gone at the rate of the latest hour. None: no cap, no rate."""

    @property
    def ratio(self) -> float | None:
        """Today in terms of the baseline."""
        return round(self.today / self.baseline, 2) if self.baseline else None

    @property
    def excess(self) -> int:
        """What lies above the baseline."""
        return max(0, self.today - (self.baseline or 0))


def decide(rule: SpikeRule, spend: Spend) -> Verdict:
    """What today's spend is. With more spend, all else the same, a spike stays one.

    Today must lie `factor` times above the median of the trailing days at the same time of day,
    and above it by `margin` of a usual day. A cap is burnt by the rate of the latest hour alone,
    so that this needs no history; where there is some, the hour must be unusual as well.
    After a release by a person the same excess counts no more: spend must double once again.
    """
    past = tuple(day for day in spend.past if day.whole > 0)
    known = len(past) >= rule.min_days
    today = max(0, spend.today - spend.dealt_with)
    hour = max(0, spend.latest_hour - spend.dealt_with)
    baseline = median_low(day.so_far for day in past) if known else None
    limit = _limit(rule, spend, past, baseline)
    lasts = max(0, spend.cap - today) / hour if spend.cap is not None and hour else None
    usual_hour = median_low(day.hour for day in past) if known else 0
    kind = Kind.OK
    if today < rule.factor * spend.released_at:
        pass
    elif baseline is not None and today > limit:
        kind = Kind.SPIKE
    elif hour >= rule.factor * usual_hour and _burns(rule, spend, hour, lasts):
        kind = Kind.BURN
    return Verdict(kind, today, baseline, limit, hour, spend.cap, lasts)


def _limit(rule: SpikeRule, spend: Spend, past: tuple[PastDay, ...], baseline: int | None) -> int:
    least = max(rule.min_spend_micro, round(rule.min_share * spend.usual_around))
    if baseline is None:
        return least
    usual_day = median_low(day.whole for day in past)
    calm = [day for day in past if not day.tripped]
    return max(
        least,
        round(rule.factor * baseline),
        baseline + round(rule.margin * usual_day),
        round(rule.over_highest * max((day.so_far for day in calm), default=0)),
        round(rule.over_highest_day * max((day.whole for day in calm), default=0)),
    )


def _burns(rule: SpikeRule, spend: Spend, hour: int, lasts: float | None) -> bool:
    return (
        lasts is not None
        and spend.cap is not None
        and hour >= rule.min_spend_micro
        and hour * rule.burn_hours >= spend.cap
        and spend.hours_left - lasts >= rule.early_hours
    )
