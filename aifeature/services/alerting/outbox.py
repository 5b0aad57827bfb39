"""Writes the deliveries of alerts: which channel is notified of what.

A channel is notified of an end only if it was, or will be, notified of the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from django.db.models import Exists, OuterRef

from aifeature.models import Alert, AlertChannel, Delivery
from aifeature.models.functions import database_now
from aifeature.services.alerting import silences

CHANNEL_DOWN: Final = "channel_down"
"""Kind of alerts about a channel that fails. The subject is its name."""

KEPT: Final = timedelta(days=180)
"""Age at which deliveries of alerts that are over are deleted, and summaries and tests."""

_BEGINS: Final = (Delivery.Event.BEGIN, Delivery.Event.ESCALATION)
_ALIVE: Final = (
    Delivery.State.WAITING,
    Delivery.State.SILENCED,
    Delivery.State.SENT,
    Delivery.State.GROUPED,
)


def note_begun(alerts: Sequence[Alert]) -> None:
    """Write a row for each alert and first-line channel. A silence holds rows back.

    Call it in the transaction that marks the alerts as notified.
    """
    if not alerts:
        return
    now = database_now()
    channels = list(AlertChannel.objects.filter(is_enabled=True, is_escalation=False))
    if not channels:
        return
    held = silences.silenced(alerts, now)
    write(
        Delivery(
            channel=channel,
            alert=alert,
            event=Delivery.Event.BEGIN,
            state=Delivery.State.SILENCED if alert.pk in held else Delivery.State.WAITING,
            created_at=now,
            next_at=now,
        )
        for alert in alerts
        for channel in channels
        if not (alert.kind == CHANNEL_DOWN and alert.subject == channel.name)
    )


def note_ended(alerts: Sequence[Alert]) -> None:
    """Write a row for each ended alert and channel that was notified of it."""
    if not alerts:
        return
    now = database_now()
    held = silences.silenced(alerts, now)
    told = Delivery.objects.filter(
        alert__in=alerts, event__in=_BEGINS, state__in=_ALIVE, channel__is_enabled=True
    )
    write(
        Delivery(
            channel_id=channel,
            alert_id=alert,
            event=Delivery.Event.END,
            state=Delivery.State.SILENCED if alert in held else Delivery.State.WAITING,
            created_at=now,
            next_at=now,
        )
        for channel, alert in told.values_list("channel", "alert").distinct()
    )


def write(rows: Iterable[Delivery]) -> None:
    """Store rows."""
    # A row that exists already was written by an earlier try of the same notification.
    Delivery.objects.bulk_create(list(rows), ignore_conflicts=True)


def prune() -> int:
    """Delete old deliveries. Return their number. Those of an open alert are needed for its end."""
    oldest = database_now() - KEPT
    rows = Delivery.objects.filter(alert__closed_at__lt=oldest).delete()[0]
    carried = Delivery.objects.filter(carried_by=OuterRef("pk"))
    own = Delivery.objects.filter(~Exists(carried), alert=None, ended_at__lt=oldest)
    return rows + own.delete()[0]
