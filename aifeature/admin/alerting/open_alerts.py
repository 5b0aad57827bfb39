"""Rows of open alerts for other pages, each with its start and a link."""

from __future__ import annotations

import re
from typing import Any

from django.contrib.admin.utils import quote
from django.urls import reverse

from aifeature.admin.common.show import utc
from aifeature.models import Alert
from aifeature.services.alerting import alerts
from aifeature.services.controls import GLOBAL
from aifeature.services.watch import queues


def runbook(kind: str) -> str:
    """Return the path of the runbook for alerts of this kind; a dash if there is none."""
    name = alerts.RUNBOOKS.get(kind)
    return f"deploy/runbooks/{name}.md" if name else "-"


def rows(slug: str | None = None) -> list[dict[str, Any]]:
    """Return open alerts, newest first: all, or those about this feature, its users and windows."""
    found = [alert for alert in alerts.still_open() if slug is None or _is_about(alert, slug)]
    unseen = _unseen(found) if slug is None else []
    return [*unseen, *(_row(alert) for alert in found)]


def _unseen(found: list[Alert]) -> list[dict[str, Any]]:
    """Return queues without a worker or an alert: if all workers are gone, none opens an alert."""
    known = {(alert.kind, alert.subject) for alert in found}
    return [
        {
            "kind": each.kind.replace("_", " "),
            "subject": each.subject,
            "summary": each.summary,
            "since": "now",
            "runbook": runbook(each.kind),
            "url": reverse("admin:aifeature_worker_changelist"),
        }
        for each in queues.away()
        if (each.kind, each.subject) not in known
    ]


def _is_about(alert: Alert, slug: str) -> bool:
    """Return whether the alert's subject begins with this slug: `summarize day`, `summarize:7`."""
    return re.split(r"\W", alert.subject, maxsplit=1)[0] == slug


def _row(alert: Alert) -> dict[str, Any]:
    return {
        "kind": alert.kind.replace("_", " "),
        "subject": alert.subject.replace(GLOBAL, "everything"),
        "summary": alert.summary,
        "since": utc(alert.opened_at),
        "runbook": runbook(alert.kind),
        "url": reverse("admin:aifeature_alert_change", args=(quote(alert.pk),)),
    }
