"""Today's spend and that of the trailing days at the same time of day, without a database.

Spend is taken as even within each hour, so that the baseline does not jump at full hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

from aifeature.policies.spike import HOURS, PastDay, Spend

DAYS: Final = 7
"""Trailing UTC days in a baseline."""

Curve = Sequence[int]
"""Micro-dollars of the 24 hours of a UTC day."""

Weights = Sequence[float]
"""Launch factors of the 24 hours of today."""

NOTHING: Final[Curve] = (0,) * HOURS
AS_USUAL: Final[Weights] = (1.0,) * HOURS


@dataclass(frozen=True, slots=True)
class Announced:
    starts_at: datetime
    ends_at: datetime
    factor: float


def midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.astimezone(UTC).date(), time(), UTC)


def weights(launches: Sequence[Announced], day: datetime) -> Weights:
    """Return the factor of each hour of a day, the greatest if launches overlap.

    A launch that covers part of an hour raises it in proportion.
    """
    return [
        max((_factor(launch, day + timedelta(hours=hour)) for launch in launches), default=1.0)
        for hour in range(HOURS)
    ]


def _factor(launch: Announced, hour: datetime) -> float:
    end = min(launch.ends_at, hour + timedelta(hours=1))
    covered = max(timedelta(), end - max(launch.starts_at, hour)) / timedelta(hours=1)
    return 1 + (launch.factor - 1) * covered


def raised(curve: Curve, by: Weights) -> Curve:
    """Multiply a day's hours by their launch factors."""
    if by is AS_USUAL:
        return curve
    return [round(spent * weight) for spent, weight in zip(curve, by, strict=True)]


def past_day(curve: Curve, hour: int, share: float) -> PastDay:
    """Return a past day's sums at this `place` in the day."""
    now, before = curve[hour], curve[hour - 1] if hour else 0
    return PastDay(
        so_far=sum(curve[:hour]) + round(now * share),
        whole=sum(curve),
        hour=round(now * share + before * (1 - share)),
        half_hour=round(now * min(share, 0.5) + before * max(0, 0.5 - share)),
    )


def spend(
    today: Curve, past: Sequence[Curve], now: datetime, *, half_hour: int | None = None
) -> Spend:
    """Return the input of `spike.decide`. The past days are already raised.

    If the latest `half_hour` is None, its micro-dollars are derived from the hours.
    """
    hour, share = place(now)
    before = today[hour - 1] if hour else 0
    if half_hour is None:
        rate = today[hour] / share if share else 0
        half_hour = round(rate * min(share, 0.5) + before * max(0, 0.5 - share))
    return Spend(
        today=sum(today),
        latest_hour=today[hour] + round(before * (1 - share)),
        past=tuple(past_day(curve, hour, share) for curve in past),
        hours_left=HOURS - hour - share,
        latest_half_hour=half_hour,
    )


def place(now: datetime) -> tuple[int, float]:
    """Return the hour of the UTC day, and the elapsed share of it."""
    utc = now.astimezone(UTC)
    return utc.hour, (utc.minute * 60 + utc.second) / 3600
