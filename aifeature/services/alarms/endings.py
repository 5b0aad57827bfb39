"""Alerts that end although their number is not green, since it can never be green again."""

from __future__ import annotations

from django.db import transaction

from aifeature import registry
from aifeature.models import Alert, FeatureControl, Stage
from aifeature.services.alarms.rules import KINDS
from aifeature.services.alerting import alerts
from aifeature.services.controls import GLOBAL


def end(alert: Alert, why: str) -> None:
    """Close an alert with the reason in its text."""
    text = f"{alert.summary} It ended because {why}."
    with transaction.atomic():
        alerts.begin_or_renew(alert.kind, alert.subject, text)
        alerts.end(alert.kind, alert.subject)


def end_removed() -> list[str]:
    """Close the alerts about features that are no longer in the code. Return a phrase for each."""
    found = []
    rows = Alert.objects.filter(kind__in=KINDS.values(), closed_at=None)
    for alert in rows.exclude(subject__in=registry.slugs()):
        why = f"{alert.subject} is no longer in the code"
        end(alert, why)
        found.append(f"{why}.")
    return found


def is_turned_off(slug: str) -> bool:
    """Return whether the feature is off, or its kill switch or that of everything is pulled."""
    rows = {row.feature: row for row in FeatureControl.objects.filter(feature__in=(slug, GLOBAL))}
    own = rows.get(slug)
    is_off = own is None or own.stage == Stage.OFF
    return is_off or any(row.killed for row in rows.values())
