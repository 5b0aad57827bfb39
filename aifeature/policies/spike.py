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

    whole_days: bool = False
    """Whether the baseline is a usual whole day instead of a usual day until this time."""

    margin: float = 0
    """Share of a usual whole day that must lie between the baseline and a spike. In the small
    hours the baseline is next to nothing, and twice that is noise."""

    over_highest: float = 0
    """Times the highest of the past days at this time of day that a spike must exceed as well; 0:
    not asked. What comes once a week has come within the last seven days."""

    surge_min_micro: int | None = None
    """Micro-dollars of the latest half hour below which it is no surge. None: surges are not
    looked for."""

    surge_margin: float = 0.03
    """Share of a usual whole day that must lie between the usual half hour and a surge."""

    burn_hours: float = 8
    """A rate that would spend the whole cap of a day in so many hours is one that burns it..."""

    early_hours: float = 4
    """...if what is left of the cap then ends so many hours before the day does, or more."""


USER: Final = SpikeRule(min_spend_micro=3_000_000, whole_days=True, burn_hours=0)
"""Twice the baseline, with a minimum of spend and of history, and nothing else.

People begin at different hours, so a user's baseline is a usual whole day. `min_spend_micro`
decides how many are throttled wrongly: a person's day is above twice their usual one every few
weeks, and about one person in a hundred spends so much in a day. A user's cap needs no second
guard.
"""

FEATURE: Final = SpikeRule(
    min_spend_micro=6_000_000, margin=0.4, over_highest=1.5, surge_min_micro=500_000
)
GLOBAL: Final = SpikeRule(min_spend_micro=10_000_000, margin=0.4, over_highest=1.5)
"""A surge has a feature. What belongs to none, such as a weekly evaluation, comes in surges."""


@dataclass(frozen=True, slots=True)
class PastDay:
    """Micro-dollars of a day in the past, raised where a launch is announced for today."""

    so_far: int
    """Until this time of day."""
    whole: int
    hour: int
    """In the sixty minutes before this time of day."""
    half_hour: int = 0
    """In the thirty minutes before it."""
    tripped: bool = False
    """Whether this check stopped it that day: not what a day should be held against at its
    highest. For the median it counts, so that real growth becomes the usual within days."""


@dataclass(frozen=True, slots=True)
class Excess:
    """What is spent above the usual, in micro-dollars: of today, and of its latest parts."""

    today: int = 0
    hour: int = 0
    half_hour: int = 0

    def __add__(self, other: Excess) -> Excess:
        return Excess(
            self.today + other.today, self.hour + other.hour, self.half_hour + other.half_hour
        )


@dataclass(frozen=True, slots=True)
class Spend:
    """What is known of a user, a feature or everything. All amounts in micro-dollars."""

    today: int
    latest_hour: int
    past: tuple[PastDay, ...]
    """Up to seven trailing UTC days; those on which nothing was spent are left out of account."""
    hours_left: float
    """Until the UTC day ends."""
    latest_half_hour: int = 0
    cap: int | None = None
    """Of the day; None is no cap."""
    dealt_with: Excess = Excess()
    """What of it is the excess of something smaller that is stopped or throttled for it."""
    released_at: int = 0
    """What was spent when a person released the switch that this check had pulled today."""


class Kind(StrEnum):
    """What the spend is."""

    OK = "ok"
    SPIKE = "spike"
    """Today is above twice the usual."""
    SURGE = "surge"
    """The latest half hour is."""
    BURN = "burn"
    """The latest hour spends the cap of the day too early."""
    SHARE = "share"
    """A user who makes up much of what a feature, or everything, spends too much."""


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the excess of a feature, or of everything, comes from one user."""

    slug: str
    of_excess: float
    """0 to 1."""


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
    latest_half_hour: int = 0
    usual_half_hour: int | None = None
    """None: too few days of history."""
    above: Excess = Excess()
    """What lies above the usual."""
    whole_days: bool = False
    """Whether the baseline is a usual whole day."""
    share: Share | None = None
    """Of a user whose kind is SHARE."""

    @property
    def ratio(self) -> float | None:
        """Today in terms of the baseline."""
        return round(self.today / self.baseline, 2) if self.baseline else None

    @property
    def excess(self) -> int:
        """What of today lies above the baseline."""
        return self.above.today

    def excess_of(self, kind: Kind) -> int:
        """What is too much, of the stretch of time that this kind is about."""
        return part_of(self.above, kind)


def part_of(excess: Excess, kind: Kind) -> int:
    """The part of an excess that falls into the stretch of time that this kind is about."""
    if kind is Kind.BURN:
        return excess.hour
    return excess.half_hour if kind is Kind.SURGE else excess.today


def decide(rule: SpikeRule, spend: Spend) -> Verdict:
    """What today's spend is. With more spend, all else the same, it is never more harmless.

    A spike: today lies `factor` times above the median of the trailing days, and above it by
    `margin` of a usual day. A surge: the latest half hour lies `factor` times above the second
    highest of the same half hours. A cap is burnt by the rate of the latest hour alone, so that
    this needs no history; where there is some, the hour must be unusual as well.
    After a release by a person the same excess counts no more: spend must double once again.
    """
    past = tuple(day for day in spend.past if day.whole > 0)
    known = len(past) >= rule.min_days
    today = max(0, spend.today - spend.dealt_with.today)
    hour = max(0, spend.latest_hour - spend.dealt_with.hour)
    half = max(0, spend.latest_half_hour - spend.dealt_with.half_hour)
    baseline = median_low(_so_far(rule, day) for day in past) if known else None
    limit = _limit(rule, past, baseline)
    lasts = max(0, spend.cap - today) / hour if spend.cap is not None and hour else None
    usual_hour = median_low(day.hour for day in past) if known else 0
    usual_half = _second_highest([day.half_hour for day in past]) if known else None
    kind = Kind.OK
    if today < rule.factor * spend.released_at:
        pass
    elif baseline is not None and today > limit:
        kind = Kind.SPIKE
    elif usual_half is not None and _surges(rule, past, half, usual_half):
        kind = Kind.SURGE
    elif hour >= rule.factor * usual_hour and _burns(rule, spend, hour, lasts):
        kind = Kind.BURN
    above = Excess(
        max(0, today - (baseline or 0)), max(0, hour - usual_hour), max(0, half - (usual_half or 0))
    )
    return Verdict(
        kind=kind,
        today=today,
        baseline=baseline,
        limit=limit,
        latest_hour=hour,
        cap=spend.cap,
        cap_lasts_h=lasts,
        latest_half_hour=half,
        usual_half_hour=usual_half,
        above=above,
        whole_days=rule.whole_days,
    )


def _so_far(rule: SpikeRule, day: PastDay) -> int:
    return day.whole if rule.whole_days else day.so_far


def _second_highest(amounts: list[int]) -> int:
    """One wild half hour in a week is no measure; the quiet ones of a weekend are none either."""
    return sorted(amounts)[-2:][0]


def _limit(rule: SpikeRule, past: tuple[PastDay, ...], baseline: int | None) -> int:
    if baseline is None:
        return rule.min_spend_micro
    calm = [_so_far(rule, day) for day in past if not day.tripped]
    return max(
        rule.min_spend_micro,
        round(rule.factor * baseline),
        baseline + round(rule.margin * _usual_day(past)),
        round(rule.over_highest * max(calm, default=0)),
    )


def _usual_day(past: tuple[PastDay, ...]) -> int:
    return median_low(day.whole for day in past)


def _surges(rule: SpikeRule, past: tuple[PastDay, ...], half: int, usual: int) -> bool:
    return (
        rule.surge_min_micro is not None
        and half >= rule.surge_min_micro
        and half > rule.factor * usual
        and half > usual + rule.surge_margin * _usual_day(past)
    )


def _burns(rule: SpikeRule, spend: Spend, hour: int, lasts: float | None) -> bool:
    return (
        lasts is not None
        and spend.cap is not None
        and hour >= rule.min_spend_micro
        and hour * rule.burn_hours >= spend.cap
        and spend.hours_left - lasts >= rule.early_hours
    )
