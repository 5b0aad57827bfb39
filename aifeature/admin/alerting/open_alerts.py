"""What is wrong now: open alerts, each with since when and which page to open."""

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
    """The page that tells what to do about alerts of this kind."""
    name = alerts.RUNBOOKS.get(kind)
    return f"deploy/runbooks/{name}.md" if name else "-"


def rows(slug: str | None = None) -> list[dict[str, Any]]:
    """Open alerts, newest first: all, or those about this feature, its users and its windows."""
    found = [alert for alert in alerts.still_open() if slug is None or _is_about(alert, slug)]
    unseen = _unseen(found) if slug is None else []
    return [*unseen, *(_row(alert) for alert in found)]


def _unseen(found: list[Alert]) -> list[dict[str, Any]]:
    """Queues without a worker that have no alert: with every worker gone, nobody opens one."""
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
    """A subject is a slug, or begins with one: `summarize day`, `summarize:7`."""
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
