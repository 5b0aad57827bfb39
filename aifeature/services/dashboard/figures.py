"""Sums of a range and of the period before it, in all and by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Sum
from django.db.models.functions import ExtractHour, ExtractIsoWeekDay

from aifeature.models import NumberSlot
from aifeature.models.numbers import HOUR_S
from aifeature.policies import buckets
from aifeature.services.dashboard.ranges import Range
from aifeature.services.numbers import series, windows
from aifeature.services.numbers.sums import Sums
from aifeature.services.numbers.windows import By


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a range. `before` is the same step of the period before."""

    at: datetime
    sums: Sums
    before: Sums


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums of a range, compared with the period before."""

    steps: tuple[Step, ...]
    now: Sums
    before: Sums
    """Of as much time as has passed of the range, so that both can be compared."""


def read(slug: str | None, chosen: Range, now: datetime) -> Figures:
    """Return the figures of a feature, or of all features for None. Two reads of the rollups."""
    begin = chosen.begin(now)
    found = _by_step(slug, chosen, begin, now)
    earlier = _by_step(slug, chosen, begin - chosen.length, now - chosen.length)
    steps = tuple(
        Step(begin + timedelta(seconds=number * chosen.step_s), sums, before)
        for number, (sums, before) in enumerate(zip(found, earlier, strict=True))
    )
    return Figures(steps, total(found), total(earlier))


def hours(slug: str | None, count: int, now: datetime) -> list[tuple[datetime, Sums]]:
    """Return the sums of the last full or begun hours, oldest first. Empty hours are included."""
    chosen = Range("", "", timedelta(hours=count), 3_600)
    begin = chosen.begin(now)
    found = _by_step(slug, chosen, begin, now)
    return [(begin + timedelta(hours=number), sums) for number, sums in enumerate(found)]


def weekdays(slug: str | None, weeks: int, now: datetime) -> list[tuple[int, int, int, int]]:
    """Return weekday (0: Monday), hour in UTC, ended and failed requests of the last weeks.

    One query without histograms, which would take most of its time.
    """
    rows = NumberSlot.objects.filter(
        span_s=HOUR_S, starts_at__gt=now - timedelta(weeks=weeks), starts_at__lte=now
    )
    if slug is not None:
        rows = rows.filter(feature=slug)
    parts = rows.values_list(
        ExtractIsoWeekDay("starts_at", tzinfo=UTC), ExtractHour("starts_at", tzinfo=UTC)
    )
    found = parts.annotate(ended_in=Sum("ended"), failed_in=Sum("failed")).order_by()
    return [(day - 1, hour, ended, failed) for day, hour, ended, failed in found]


def divided(
    slug: str | None, by: By, begin: datetime, now: datetime, *, features: Iterable[str]
) -> dict[tuple[str, str], Sums]:
    """Return the sums of a time by feature (empty: all of them) and key.

    Versions of two features have the same names, so they are read for each feature. One query, or
    one for each feature.
    """
    if by is By.VERSION and slug is None:
        each = {name: windows.sums(name, begin, now, by=by) for name in features}
        return {(name, key): sums for name, found in each.items() for key, sums in found.items()}
    return {("", key): sums for key, sums in windows.sums(slug, begin, now, by=by).items()}


def total(many: Iterable[Sums]) -> Sums:
    """Return the sum of sums."""
    rows = list(many)
    counts: dict[str, Any] = {
        name: sum(getattr(row, name) for row in rows) for name in windows.COUNTS
    }
    histograms: dict[str, Any] = {
        name: tuple(buckets.added(getattr(row, name) for row in rows))
        for name in windows.HISTOGRAMS
    }
    return Sums(**counts, **histograms)


def _by_step(slug: str | None, chosen: Range, begin: datetime, end: datetime) -> list[Sums]:
    """Return the sums of each step. A step without rows is empty."""
    found = [Sums()] * chosen.steps
    for point in series.points(slug, begin, end, chosen.step_s):
        number = int((point.at - begin).total_seconds()) // chosen.step_s
        if 0 <= number < len(found):
            found[number] = point.sums
    return found
