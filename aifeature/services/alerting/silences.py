"""Silences: for a time, alerts of one kind and subject are shown and not sent."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from aifeature.models import Alert, Silence


def at(now: datetime) -> QuerySet[Silence]:
    """Return the silences that hold at this time."""
    return Silence.objects.filter(until__gt=now, created_at__lte=now).filter(
        Q(lifted_at=None) | Q(lifted_at__gt=now)
    )


def of(alert: Alert, now: datetime) -> Silence | None:
    """Return the silence of an alert that ends last, or None."""
    return at(now).filter(kind=alert.kind, subject=alert.subject).order_by("-until").first()


def subjects(now: datetime) -> set[tuple[str, str]]:
    """Return kind and subject of all that is silenced."""
    return set(at(now).values_list("kind", "subject"))


def silenced(alerts: Iterable[Alert], now: datetime) -> set[int]:
    """Return the ids of those alerts that are silenced."""
    found = subjects(now)
    return {alert.pk for alert in alerts if (alert.kind, alert.subject) in found}


def until_lately(now: datetime, ago: timedelta) -> Exists:
    """Return whether a silence of the alert holds, or ended less than `ago` before now."""
    ends = Silence.objects.annotate(ends=Coalesce("lifted_at", "until"))
    return Exists(
        ends.filter(kind=OuterRef("kind"), subject=OuterRef("subject"), ends__gt=now - ago)
    )
