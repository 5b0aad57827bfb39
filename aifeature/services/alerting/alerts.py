"""Tells on-call once when something begins and once when it ends.

Rows are opened where the thing is found, in the transaction that finds it; telling is done by the
control worker, so that whoever found it may die at once and nobody is told twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from aifeature.models import Alert
from aifeature.models.functions import Rows, as_json, rows

logger = logging.getLogger(__name__)

BATCH: Final = 50

STUCK_WORKER: Final = "stuck_worker"

RUNBOOKS: Final = {
    "budget_reached": "budgets",
    "cost_spike": "cost-spike",
    "user_spike": "cost-spike",
    "overrun": "budgets",
    "drift": "budgets",
    "breaker_open": "provider-down",
    "provider_outage": "provider-down",
    "provider_account": "provider-account",
    "kill_switch": "kill-switch",
    STUCK_WORKER: "stuck-worker",
    "prompt_missing": "controls",
    "control_unknown": "controls",
    "check_late": "watchers",
    "no_worker": "watchers",
    "schedule_broken": "watchers",
    "nothing_runs": "refusing-services",
    "answer_garbled": "odd-answers",
    "usage_unseen": "odd-answers",
}
"""The page of deploy/runbooks/ for each kind of alert."""


def begin(
    kind: str,
    subject: str,
    summary: str,
    figures: Mapping[str, Any] | None = None,
    *,
    through: Rows = rows,
) -> None:
    """Something is found to be so; if that is known already, it is only seen again.

    Args:
        kind: A key of RUNBOOKS.
        subject: What it is about: a feature, a model, a window.
        summary: One sentence: the object, the cause, the next step.
        figures: What was seen, as JSON.
        through: Another connection than one of the pool.
    """
    through("aif_alert", kind, subject, summary, as_json(dict(figures or {})))


def end(kind: str, subject: str) -> bool:
    """It is no longer so. False: it was not known to be."""
    still = Alert.objects.filter(kind=kind, subject=subject, closed_at=None)
    return bool(still.update(closed_at=Now()))


def end_unseen(kind: str, after: timedelta) -> int:
    """End the open alerts of a kind that were last seen longer ago than this. Returns how many."""
    unseen = Alert.objects.filter(kind=kind, closed_at=None, seen_at__lt=Now() - after)
    return unseen.update(closed_at=Now())


def tell() -> int:
    """Say what nobody has said yet. Returns how much that was.

    Said before it is written down that it was: who dies in between says it twice, not never.
    """
    with transaction.atomic():
        begun = _locked(Alert.objects.filter(notified_at=None))
        for alert in begun:
            logger.error(
                "alert %s (%s): %s See deploy/runbooks/%s",
                # A newer release may know kinds that this one does not.
                *(alert.kind, alert.subject, alert.summary, _page(alert.kind)),
            )
        Alert.objects.filter(pk__in=[alert.pk for alert in begun]).update(notified_at=Now())
        over = _locked(Alert.objects.filter(closed_at__isnull=False, end_notified_at=None))
        for alert in over:
            logger.warning("alert %s (%s) is over: %s", alert.kind, alert.subject, alert.summary)
        Alert.objects.filter(pk__in=[alert.pk for alert in over]).update(end_notified_at=Now())
    return len(begun) + len(over)


def _page(kind: str) -> str:
    name = RUNBOOKS.get(kind)
    return f"{name}.md." if name else "."


def still_open() -> list[Alert]:
    """Alerts that have not ended, newest first."""
    return list(Alert.objects.filter(closed_at=None).order_by("-opened_at")[:BATCH])


def _locked(alerts: QuerySet[Alert]) -> list[Alert]:
    return list(alerts.order_by("opened_at").select_for_update(skip_locked=True)[:BATCH])
