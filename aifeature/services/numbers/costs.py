"""The cost of a feature per user and day."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.db.models import F, Sum

from aifeature.models import SpendHour, SpendWindow, UserCostDay
from aifeature.models.numbers import HOUR_S
from aifeature.services.numbers.windows import floor

_DAY = timedelta(days=1)


def days(slug: str, first: date, last: date) -> list[UserCostDay]:
    """Return the complete days from `first` to `last` with a call, the oldest first."""
    rows = UserCostDay.objects.filter(feature=slug, day__gte=first, day__lte=last)
    return list(rows.order_by("day"))


def of_users(slug: str, now: datetime) -> dict[str, int]:
    """Return micro-dollars by user id (as text) of the last 24 hours, of users with a call.

    The hours are whole, and the last one is the one that runs. Upper limits of unknown bills do not
    count.
    """
    rows = (
        SpendHour.objects.filter(
            scope=SpendWindow.Scope.USER,
            key__startswith=f"{slug}:",
            hour__gte=floor(now, HOUR_S) - _DAY + timedelta(hours=1),
            hour__lte=now,
        )
        .values_list("key")
        .annotate(micro=Sum(F("spend_micro") - F("phantom_micro")))
    )
    return {key.rpartition(":")[2]: micro for key, micro in rows}
