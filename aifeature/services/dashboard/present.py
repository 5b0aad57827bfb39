"""The present state: open alerts, roll-outs under way, and the features that can be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final

from django.db.models import Max

from aifeature import registry
from aifeature.models import Canary, HealthReading, Level, Ramp, UserCostDay
from aifeature.models.canary import OPEN
from aifeature.policies.numbers import RULES, Six
from aifeature.services.numbers import six
from aifeature.services.numbers.six import Number
from aifeature.services.rollout import ramps
from aifeature.services.rollout.health import REQUIRED

CURRENT: Final = timedelta(minutes=2)
"""Age up to which a reading is shown. The check stores one each minute."""


def features() -> list[str]:
    """Return the slugs that can be chosen: those of the code, then others with rows. Two queries.

    A feature that was removed from the code keeps its figures.
    """
    offered = list(registry.offered())
    known = set(UserCostDay.objects.order_by().values_list("feature", flat=True).distinct())
    known |= set(HealthReading.objects.order_by().values_list("feature", flat=True).distinct())
    return [*offered, *sorted(known.difference(registry.slugs()))]


def numbers(
    slugs: list[str], stored: Mapping[tuple[str, str], HealthReading], now: datetime
) -> dict[str, dict[str, Number]]:
    """Return the six numbers of each feature by name, as the check of each minute stored them.

    A number without a fresh reading, such as one with too few data, is measured now.
    """
    return {
        slug: {
            name.value: of_reading(stored.get((slug, name.value)), now) or measure(slug, now)
            for name, measure in six.MEASURES.items()
        }
        for slug in slugs
    }


def of_reading(row: HealthReading | None, now: datetime) -> Number | None:
    """Return the number that a reading stores; None if it is old or incomplete."""
    if row is None or row.level not in Level:
        return None
    rule, found = RULES[Six(row.number)], row.figures
    if row.number in REQUIRED and now - row.measured_at > CURRENT:
        return None
    try:
        return Number(
            name=row.number,
            value=found.get("value"),
            threshold=found["threshold"],
            level=Level(row.level),
            sample=found["sample"],
            least=rule.least,
            window_s=found["window_s"],
            unit=rule.unit,
            low=found.get("low"),
            high=found.get("high"),
            begins=datetime.fromisoformat(found["begins"]),
            measured_at=row.measured_at,
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def readings(slugs: list[str]) -> dict[tuple[str, str], HealthReading]:
    """Return the stored readings by feature and number. One query."""
    rows = HealthReading.objects.filter(feature__in=slugs)
    return {(row.feature, row.number): row for row in rows}


def user_days(slugs: list[str], first: date, last: date) -> list[UserCostDay]:
    """Return the complete days of these features, from `first` to `last`. One query."""
    return list(UserCostDay.objects.filter(feature__in=slugs, day__gte=first, day__lte=last))


def measured_at() -> datetime | None:
    """Return when the check of the numbers last stored one; None if it never did. One query.

    Numbers of weekly runs and audits are left out: they have the time of their data.
    """
    rows = HealthReading.objects.filter(number__in=REQUIRED)
    found: datetime | None = rows.aggregate(at=Max("measured_at"))["at"]
    return found


def open_ramps(slugs: list[str]) -> list[Ramp]:
    return list(Ramp.objects.filter(feature__in=slugs, state__in=ramps.OPEN).order_by("feature"))


def open_canaries(slugs: list[str]) -> list[Canary]:
    rows = Canary.objects.filter(feature__in=slugs, state__in=OPEN).order_by("feature")
    return list(rows.prefetch_related("steps"))
