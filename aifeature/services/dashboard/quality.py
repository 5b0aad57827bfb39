"""Series by week: pass rates of the weekly evaluations, and audited answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db.models import Count

from aifeature.models import AuditedAnswer, Evidence
from aifeature.policies.intervals import Share

SHOWN: Final = timedelta(days=84)
MOST: Final = 500
"""Most evaluations that are read."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One weekly evaluation of the live prompt of a feature. Shares are from 0 to 1."""

    feature: str
    version: str
    at: datetime
    passed: bool
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class AuditedWeek:
    """Answers of a week that a person read. `bad` counts hallucinations among the clear ones."""

    week: date
    bad: Share
    waiting: int


def evaluations(slug: str | None, now: datetime) -> list[Evaluation]:
    """Return the weekly evaluations of the last twelve weeks, oldest first. One query."""
    rows = Evidence.objects.filter(origin=Evidence.Origin.WEEKLY, measured_at__gt=now - SHOWN)
    if slug is not None:
        rows = rows.filter(feature=slug)
    wanted = ("feature", "version", "measured_at", "passed", "verdict__candidate")
    found = rows.order_by("-measured_at").values_list(*wanted)[:MOST]
    return [_evaluation(*row) for row in found][::-1]


def audits(slug: str | None, now: datetime) -> list[AuditedWeek]:
    """Return the audited answers of the last twelve weeks, oldest first. One query."""
    rows = AuditedAnswer.objects.filter(week__gt=(now - SHOWN).date())
    if slug is not None:
        rows = rows.filter(feature=slug)
    counts: dict[date, dict[str, int]] = {}
    for week, label, count in rows.values_list("week", "label").annotate(n=Count("pk")).order_by():
        counts.setdefault(week, {})[label] = count
    return [_week(week, counts[week]) for week in sorted(counts)]


def _week(week: date, counts: Mapping[str, int]) -> AuditedWeek:
    label = AuditedAnswer.Label
    bad = counts.get(label.HALLUCINATED, 0)
    clear = bad + counts.get(label.GROUNDED, 0)
    return AuditedWeek(week, Share(bad, clear), counts.get(label.WAITING, 0))


def _evaluation(feature: str, version: str, at: datetime, passed: bool, arm: Any) -> Evaluation:  # noqa: FBT001 (a row)
    rate, low, high = _rates(arm)
    return Evaluation(feature, version, at, passed, rate, low, high)


def _rates(arm: Any) -> tuple[float | None, float | None, float | None]:
    """Return rate and interval of a stored verdict. One without a rate had too few outcomes."""
    try:
        interval = arm["interval"]
        return float(arm["rate"]), float(interval["low"]), float(interval["high"])
    except (KeyError, TypeError, ValueError):
        return None, None, None
