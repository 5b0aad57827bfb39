"""Messages that follow later: after a silence, and when an alert is not acknowledged in time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from aifeature.models import Alert, AlertChannel, Delivery
from aifeature.services.alerting import outbox, silences
from aifeature.services.alerting.outbox import CHANNEL_DOWN

BATCH: Final = 200


def release(now: datetime) -> int:
    """Send what a silence held back, once it is over. Return the number of rows.

    A beginning is left out if its alert ended or was acknowledged meanwhile.
    """
    with transaction.atomic():
        silence = silences.at(now).filter(
            kind=OuterRef("alert__kind"), subject=OuterRef("alert__subject")
        )
        free = Delivery.objects.filter(~Exists(silence), state=Delivery.State.SILENCED)
        locked = free.select_related("alert").select_for_update(of=("self",), skip_locked=True)
        freed = list(locked.order_by("id")[:BATCH])
        for row in freed:
            needless = row.event == Delivery.Event.BEGIN and _is_settled(row.alert)
            row.state = Delivery.State.SKIPPED if needless else Delivery.State.WAITING
            row.problem = "Ended or acknowledged while it was silenced." if needless else ""
            row.next_at, row.created_at = now, now
            row.ended_at = now if needless else None
        Delivery.objects.bulk_update(
            freed, ["state", "problem", "next_at", "created_at", "ended_at"]
        )
    return len(freed)


def _is_settled(alert: Alert | None) -> bool:
    return alert is None or bool(alert.closed_at or alert.acknowledged_at)


def escalate(now: datetime) -> int:
    """Send alerts that are not acknowledged in time to the escalation channels, once.

    A time in which the alert was silenced does not count. A channel gets no alert that is older
    than the channel. Return the number of alerts.
    """
    after = timedelta(minutes=settings.AIFEATURE["ALERT_ESCALATION_MINUTES"])
    channels = list(AlertChannel.objects.filter(is_enabled=True, is_escalation=True))
    if not channels:
        return 0
    oldest = min(channel.created_at for channel in channels)
    due = Alert.objects.filter(
        ~silences.until_lately(now, after),
        Q(notified_at__lte=now - after),
        closed_at=None,
        acknowledged_at=None,
        escalated_at=None,
        opened_at__gte=oldest,
    )
    with transaction.atomic():
        alerts = list(due.select_for_update(skip_locked=True).order_by("opened_at")[:BATCH])
        outbox.write(
            Delivery(
                channel=channel,
                alert=alert,
                event=Delivery.Event.ESCALATION,
                created_at=now,
                next_at=now,
            )
            for alert in alerts
            for channel in channels
            if channel.created_at <= alert.opened_at
            and not (alert.kind == CHANNEL_DOWN and alert.subject == channel.name)
        )
        Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(escalated_at=now)
    return len(alerts)


def drop_of(channel: AlertChannel, now: datetime, why: str) -> None:
    """Skip what waits for a channel that is disabled."""
    waiting = Q(state=Delivery.State.WAITING) | Q(state=Delivery.State.SILENCED)
    Delivery.objects.filter(waiting, channel=channel).update(
        state=Delivery.State.SKIPPED, problem=why, ended_at=now
    )
