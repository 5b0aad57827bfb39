"""Rows of open alerts for other pages, each with its start and a link."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.utils import quote
from django.urls import reverse
from django.utils import timezone

from aifeature.admin.common.show import utc
from aifeature.models import Alert, HealthReading
from aifeature.services.alarms import words
from aifeature.services.alerting import alerts, silences
from aifeature.services.controls import GLOBAL
from aifeature.services.watch import queues


def runbook(kind: str) -> str:
    """Return the path of the runbook for alerts of this kind; a dash if there is none."""
    name = alerts.RUNBOOKS.get(kind)
    return f"deploy/runbooks/{name}.md" if name else "-"


@dataclass(frozen=True, slots=True)
class Row:
    """An open alert, or a queue without a worker, as pages show it."""

    kind: str
    subject: str
    summary: str
    since: str
    runbook: str
    url: str
    handled: str = ""
    """The people who acknowledged it or have it assigned, and whether it is silenced; or empty."""
    now: str = ""
    """The newest value of its number, if it is about one: the summary has the first value."""


def rows(slug: str | None = None) -> list[Row]:
    """Return open alerts, newest first: all, or those about this feature, its users and windows."""
    found = [alert for alert in alerts.still_open() if slug is None or _is_about(alert, slug)]
    unseen = _unseen(found) if slug is None else []
    silenced = silences.silenced(found, timezone.now()) if found else set()
    values = _values(found)
    return [
        *unseen,
        *(
            _row(alert, is_silenced=alert.pk in silenced, now=values.get(alert.pk, ""))
            for alert in found
        ),
    ]


def subject(alert: Alert) -> str:
    """Return the subject, with the name of everything."""
    return alert.subject.replace(GLOBAL, "everything")


def handled_by(alert: Alert) -> str:
    """Return the names of those who acknowledged it or have it assigned; empty without any."""
    parts = []
    if alert.acknowledged_at:
        parts.append(f"acknowledged by {_name(alert.acknowledged_by)}")
    if alert.assigned_to:
        parts.append(f"assigned to {_name(alert.assigned_to)}")
    return ", ".join(parts)


def _name(user: Any) -> str:
    return user.get_username() if user else "-"


def _unseen(found: list[Alert]) -> list[Row]:
    """Return queues without a worker or an alert: if all workers are gone, none opens an alert."""
    known = {(alert.kind, alert.subject) for alert in found}
    return [
        Row(
            kind=each.kind.replace("_", " "),
            subject=each.subject,
            summary=each.summary,
            since="now",
            runbook=runbook(each.kind),
            url=reverse("admin:aifeature_worker_changelist"),
        )
        for each in queues.away()
        if (each.kind, each.subject) not in known
    ]


def _values(found: list[Alert]) -> dict[int, str]:
    """Return the newest value of each number that has an alert: its summary has the first one."""
    names = {alert.pk: (alert.subject, alert.figures.get("number")) for alert in found}
    if not any(number for _, number in names.values()):
        return {}
    readings = HealthReading.objects.filter(feature__in={subject for subject, _ in names.values()})
    values = {
        (row.feature, row.number): words.value(
            row.figures.get("value"), str(row.figures.get("unit", ""))
        )
        for row in readings
    }
    return {pk: values[name] for pk, name in names.items() if name in values}


def _is_about(alert: Alert, slug: str) -> bool:
    """Return whether the alert's subject begins with this slug: `summarize day`, `summarize:7`."""
    return re.split(r"\W", alert.subject, maxsplit=1)[0] == slug


def _row(alert: Alert, *, is_silenced: bool, now: str) -> Row:
    handled = [handled_by(alert), "silenced" if is_silenced else ""]
    return Row(
        kind=alert.kind.replace("_", " "),
        subject=subject(alert),
        handled=", ".join(part for part in handled if part),
        summary=alert.summary,
        since=utc(alert.opened_at),
        runbook=runbook(alert.kind),
        url=reverse("admin:aifeature_alert_change", args=(quote(alert.pk),)),
        now=now,
    )
