"""Each user's spend per day on a feature, and how many users could use it, for a projection."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any, Final

from django.db.models import F, Sum
from django.db.models.functions import TruncDay

from aifeature.models import ControlChange, FeatureControl, SpendHour, SpendWindow, Stage
from aifeature.models.functions import database_now
from aifeature.policies import projection
from aifeature.policies.projection import Projection
from aifeature.services import access

_AUDIENCE: Final = ("stage", "percent", "holdout_percent")
"""Fields of a control that decide how many users may use the feature."""

_DAY: Final = timedelta(days=1)


def project(
    slug: str, *, users_now: int, users_after: int, cap_micro: int | None = None
) -> Projection | None:
    """Return the projected spend of a day, from the users' spend of the last full days.

    Spend of evaluations does not count. Of each day, the users count who could use the feature when
    it began, so a rise during the day makes the projection higher.

    Args:
        slug: A feature.
        users_now: Users who may use it now.
        users_after: Users who may use it after the change.
        cap_micro: A new cap on one user's spend of a day in micro-dollars.
    """
    until = database_now().replace(hour=0, minute=0, second=0, microsecond=0)
    since = until - projection.DAYS * _DAY
    by_day = _by_user(slug, since, until, cap_micro)
    first = min((day for days in by_day.values() for day in days), default=until)
    days = [first + number * _DAY for number in range((until - first).days)]
    if not days:
        return projection.project({}, users_now=0, users_after=users_after)
    return projection.project(
        {user: [each.get(day, 0) for day in days] for user, each in by_day.items()},
        users_now=round(fmean(_users(slug, days, users_now))),
        users_after=users_after,
    )


def _by_user(
    slug: str, since: datetime, until: datetime, cap_micro: int | None
) -> dict[int, dict[datetime, int]]:
    """Return micro-dollars by user and day. Days without spend are left out."""
    rows = (
        SpendHour.objects.filter(
            scope=SpendWindow.Scope.USER,
            key__startswith=f"{slug}:",
            hour__gte=since,
            hour__lt=until,
        )
        .values("key", day=TruncDay("hour"))
        .annotate(micro=Sum(F("spend_micro") - F("phantom_micro")))
        .filter(micro__gt=0)
    )
    found: dict[int, dict[datetime, int]] = defaultdict(dict)
    for row in rows:
        micro = row["micro"] if cap_micro is None else min(row["micro"], cap_micro)
        found[int(row["key"].rpartition(":")[2])][row["day"]] = micro
    return found


def _users(slug: str, days: Iterable[datetime], users_now: int) -> list[int]:
    """Return how many of today's users could use the feature at the beginning of each day."""
    row = FeatureControl.objects.filter(feature=slug).first() or FeatureControl(feature=slug)
    values: dict[str, Any] = {name: getattr(row, name) for name in _AUDIENCE}
    changes = list(
        ControlChange.objects.filter(feature=slug, field__in=_AUDIENCE, at__gte=min(days))
        .order_by("-at", "-id")
        .values_list("at", "field", "old")
    )
    counted: dict[tuple[Any, ...], int] = {tuple(values.values()): users_now}
    found = []
    for day in sorted(days, reverse=True):
        while changes and changes[0][0] >= day:
            _, field, old = changes.pop(0)
            values[field] = old if field == "stage" else int(old or 0)
        key = tuple(values.values())
        if key not in counted:
            counted[key] = _audience(slug, values)
        found.append(counted[key])
    return found


def _audience(slug: str, values: Mapping[str, Any]) -> int:
    stage = Stage(values["stage"]) if values["stage"] in Stage else Stage.OFF
    return access.audience(
        slug,
        stage=stage,
        percent=values["percent"],
        holdout_percent=values["holdout_percent"],
    )
