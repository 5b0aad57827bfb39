"""Detection of cost spikes from figures alone, shared by the check and its simulation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from statistics import median_low
from typing import Final

HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class SpikeRule:
    """Thresholds of a spike. The values for each scope come from the simulation."""

    min_spend_micro: int
    """Spend of today below which nothing is a spike, in micro-dollars."""

    factor: float = 2
    """Multiple of the baseline above which spend is a spike."""

    min_days: int = 3
    """Past days with spend that a baseline needs."""

    whole_days: bool = False
    """Whether the baseline is a usual whole day instead of a usual day up to this time."""

    margin: float = 0
    """Share of a usual whole day by which a spike must exceed the baseline. Just after midnight the
    baseline is near zero, and twice that is noise."""

    over_highest: float = 0
    """Multiple of the highest past day at this time that a spike must exceed too; 0: no such
    condition. The last seven days include any weekly peak."""

    surge_min_micro: int | None = None
    """Spend of the latest half hour below which it is no surge, in micro-dollars. None: surges are
    not detected."""

    surge_margin: float = 0.03
    """Share of a usual whole day by which a surge must exceed the usual half hour."""

    burn_hours: float = 8
    """A cap burns if the latest hour's rate would spend all of it in this many hours or fewer..."""

    early_hours: float = 4
    """...and the rest of the cap would end at least this many hours before the day does."""


USER: Final = SpikeRule(min_spend_micro=3_000_000, whole_days=True, burn_hours=0)
"""Only twice the baseline, with a minimum of spend and of history.

Users start at different hours, so their baseline is a usual whole day. `min_spend_micro` decides
how many users are throttled wrongly: a user exceeds twice their usual day every few weeks, and
about one user in a hundred spends this much in a day. A user's cap needs no second guard.
"""

FEATURE: Final = SpikeRule(
    min_spend_micro=6_000_000, margin=0.4, over_highest=1.5, surge_min_micro=500_000
)
GLOBAL: Final = SpikeRule(min_spend_micro=10_000_000, margin=0.4, over_highest=1.5)
"""No surges: they are detected per feature."""


@dataclass(frozen=True, slots=True)
class PastDay:
    """Spend of a past day in micro-dollars, raised if a launch is announced for today."""

    so_far: int
    """Up to this time of day."""
    whole: int
    hour: int
    """In the 60 minutes before this time of day."""
    half_hour: int = 0
    """In the 30 minutes before this time of day."""
    tripped: bool = False
    """Whether this check stopped it that day. Such a day does not count as the highest, but counts
    for the median, so that real growth becomes usual within days."""


@dataclass(frozen=True, slots=True)
class Excess:
    """Spend above the usual, in micro-dollars, for today and its latest parts."""

    today: int = 0
    hour: int = 0
    half_hour: int = 0

    def __add__(self, other: Excess) -> Excess:
        return Excess(
            self.today + other.today, self.hour + other.hour, self.half_hour + other.half_hour
        )


@dataclass(frozen=True, slots=True)
class Spend:
    """Figures of a user, a feature or everything. All amounts in micro-dollars."""

    today: int
    latest_hour: int
    past: tuple[PastDay, ...]
    """Up to seven trailing UTC days. Days without spend are ignored."""
    hours_left: float
    """Hours until the UTC day ends."""
    latest_half_hour: int = 0
    cap: int | None = None
    """Daily cap; None is no cap."""
    dealt_with: Excess = Excess()
    """Excess of a smaller scope that is already stopped or throttled for it."""
    released_at: int = 0
    """Spend when a person released the switch that this check had pulled today."""


class Kind(StrEnum):
    OK = "ok"
    SPIKE = "spike"
    """Today is above twice the usual."""
    SURGE = "surge"
    """The latest half hour is above twice the usual."""
    BURN = "burn"
    """The latest hour's rate spends the daily cap too early."""
    SHARE = "share"
    """A user causes much of the excess of a feature, or of everything."""


@dataclass(frozen=True, slots=True)
class Share:
    """One user's share of the excess of a feature, or of everything."""

    slug: str
    of_excess: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision with its figures. Amounts in micro-dollars."""

    kind: Kind
    today: int
    baseline: int | None
    """None: too few days of history."""
    limit: int
    """Spend of today above which it is a spike; without a baseline, the rule's minimum."""
    latest_hour: int
    cap: int | None
    cap_lasts_h: float | None
    """Hours until the cap is spent at the latest hour's rate. None: no cap, or no rate."""
    latest_half_hour: int = 0
    usual_half_hour: int | None = None
    """None: too few days of history."""
    above: Excess = Excess()
    """Spend above the usual."""
    whole_days: bool = False
    """Whether the baseline is a usual whole day."""
    share: Share | None = None
    """Set for a user whose kind is SHARE."""

    @property
    def ratio(self) -> float | None:
        """Today's spend as a multiple of the baseline."""
        return round(self.today / self.baseline, 2) if self.baseline else None

    @property
    def excess(self) -> int:
        return self.above.today

    def excess_of(self, kind: Kind) -> int:
        return part_of(self.above, kind)


def part_of(excess: Excess, kind: Kind) -> int:
    """Return the part of an excess in the period that this kind concerns."""
    if kind is Kind.BURN:
        return excess.hour
    return excess.half_hour if kind is Kind.SURGE else excess.today


def decide(rule: SpikeRule, spend: Spend) -> Verdict:
    """Classify today's spend. More spend, all else equal, never gives a more harmless verdict.

    A spike: today exceeds `factor` times the median of the trailing days, and exceeds the median by
    `margin` of a usual day. A surge: the latest half hour exceeds `factor` times the second highest
    of the same half hours. A burn depends on the rate of the latest hour, so it needs no history;
    with history, the hour must be unusual as well. After a release by a person, spend must double
    again before the excess counts.
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
    """Return the second highest amount: neither one outlier nor quiet weekends distort it."""
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
