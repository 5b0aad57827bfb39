"""What is wrong now: open alerts, each with since when and which page to open."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.utils import quote
from django.urls import reverse

from aifeature.admin.show import utc
from aifeature.models import Alert
from aifeature.services import alerts


def runbook(kind: str) -> str:
    """The page that tells what to do about alerts of this kind."""
    name = alerts.RUNBOOKS.get(kind)
    return f"deploy/runbooks/{name}.md" if name else "-"


def rows(subject: str | None = None) -> list[dict[str, Any]]:
    """Open alerts, newest first: all, or those about this subject."""
    found = [alert for alert in alerts.still_open() if subject in {None, alert.subject}]
    return [_row(alert) for alert in found]


def _row(alert: Alert) -> dict[str, Any]:
    return {
        "kind": alert.kind.replace("_", " "),
        "subject": "everything" if alert.subject == "_everything" else alert.subject,
        "summary": alert.summary,
        "since": utc(alert.opened_at),
        "runbook": runbook(alert.kind),
        "url": reverse("admin:aifeature_alert_change", args=(quote(alert.pk),)),
    }
