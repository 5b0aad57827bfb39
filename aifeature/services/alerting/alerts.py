"""Alerts: on-call is notified once when a problem begins and once when it ends.

The row is written in the transaction that finds the problem. `notify` sends it later, from any
process, so an alert survives the process that opened it.
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
from aifeature.services.alerting import outbox

logger = logging.getLogger(__name__)

BATCH: Final = 50

STUCK_WORKER: Final = "stuck_worker"
FEATURE_BROKEN: Final = "feature_broken"
USER_FLAGGED: Final = "user_flagged"
"""Kind of alerts about users whose requests were flagged. The subject is the user's id."""

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
    FEATURE_BROKEN: "feature-broken",
    "prompt_missing": "controls",
    "prompt_override": "prompts",
    "prompt_unproven": "prompts",
    "eval_regression": "regression",
    "eval_incomplete": "regression",
    "model_changed": "regression",
    "control_unknown": "controls",
    "ramp_held": "ramp",
    "ramp_stepped_back": "ramp",
    "check_late": "watchers",
    "no_worker": "watchers",
    "schedule_broken": "watchers",
    "nothing_runs": "refusing-services",
    USER_FLAGGED: "guards",
    "answer_garbled": "odd-answers",
    "usage_unseen": "odd-answers",
    "canary_rolled_back": "canary",
    "canary_held": "canary",
    "errors_high": "errors",
    "latency_high": "latency",
    "cost_per_user_high": "cost-per-user",
    "thumbs_down_high": "thumbs-down",
    "hallucinations_high": "hallucinations",
    outbox.CHANNEL_DOWN: "channel-down",
}
"""Page of deploy/runbooks/ by alert kind."""


def begin(
    kind: str,
    subject: str,
    summary: str,
    figures: Mapping[str, Any] | None = None,
    *,
    through: Rows = rows,
) -> None:
    """Open an alert. If it is already open, only update the time it was last seen.

    An open alert keeps the words and figures of its beginning, which may be the only record of it.

    Args:
        kind: A key of RUNBOOKS.
        subject: The feature, model or window concerned.
        summary: One sentence: the object, the cause, the next step.
        figures: Measurements, as JSON.
        through: Function that runs the statement; set it to use a dedicated connection.
    """
    through("aif_alert", kind, subject, summary, as_json(dict(figures or {})))


def begin_or_renew(kind: str, subject: str, summary: str) -> None:
    """Open an alert. If it is already open, store the newest summary, without a notification.

    For alerts whose cause may change while they are open.
    """
    begin(kind, subject, summary)
    open_alert = Alert.objects.filter(kind=kind, subject=subject, closed_at=None)
    open_alert.exclude(summary=summary).update(summary=summary)


def end(kind: str, subject: str) -> bool:
    """Close the open alert. Return False if there is none."""
    open_alert = Alert.objects.filter(kind=kind, subject=subject, closed_at=None)
    return bool(open_alert.update(closed_at=Now()))


def end_unseen(kind: str, after: timedelta) -> int:
    """Close open alerts of a kind last seen longer ago than `after`. Return their number."""
    unseen = Alert.objects.filter(kind=kind, closed_at=None, seen_at__lt=Now() - after)
    return unseen.update(closed_at=Now())


def notify() -> int:
    """Notify on-call of each new beginning and end. Return the number of notifications.

    The log line comes before the row is marked as notified, so it is written at least once. The
    same transaction writes the deliveries to channels.
    """
    with transaction.atomic():
        begun = _locked(Alert.objects.filter(notified_at=None))
        for alert in begun:
            logger.error(
                "alert %s (%s): %s See deploy/runbooks/%s",
                # A newer release may have opened an alert of a kind this one lacks.
                *(alert.kind, alert.subject, alert.summary, _page(alert.kind)),
            )
        outbox.note_begun(begun)
        Alert.objects.filter(pk__in=[alert.pk for alert in begun]).update(notified_at=Now())
        over = _locked(Alert.objects.filter(closed_at__isnull=False, end_notified_at=None))
        for alert in over:
            logger.warning("alert %s (%s) is over: %s", alert.kind, alert.subject, alert.summary)
        outbox.note_ended(over)
        Alert.objects.filter(pk__in=[alert.pk for alert in over]).update(end_notified_at=Now())
    return len(begun) + len(over)


def _page(kind: str) -> str:
    name = RUNBOOKS.get(kind)
    return f"{name}.md." if name else "."


def still_open() -> list[Alert]:
    """Return the newest open alerts, at most BATCH."""
    found = Alert.objects.filter(closed_at=None).select_related("acknowledged_by", "assigned_to")
    return list(found.order_by("-opened_at")[:BATCH])


def _locked(alerts: QuerySet[Alert]) -> list[Alert]:
    return list(alerts.order_by("opened_at").select_for_update(skip_locked=True)[:BATCH])
