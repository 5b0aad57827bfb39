"""Whether a channel works: its failures, and the alert `channel_down`."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from aifeature.models import AlertChannel
from aifeature.services.alerting import alerts
from aifeature.services.alerting.outbox import CHANNEL_DOWN
from aifeature.services.channels import backoff
from aifeature.services.channels.messages import utc


def worked(channel_id: int, now: datetime) -> None:
    """Record a success. It ends the alert about the channel."""
    row = AlertChannel.objects.filter(pk=channel_id)
    row.update(failing_since=None, failures=0, problem="", sent_at=now)
    for name in row.values_list("name", flat=True):
        end_alert(name)


def failed(channel_id: int, now: datetime, problem: str, jitter: float) -> None:
    """Record a failure, and leave the channel alone for a while."""
    with transaction.atomic():
        row = AlertChannel.objects.select_for_update().filter(pk=channel_id).first()
        if row is None:
            return
        row.failing_since = row.failing_since or now
        row.failures += 1
        row.problem = problem
        row.next_at = now + backoff.channel_wait(row.failures, jitter)
        row.save(update_fields=["failing_since", "failures", "problem", "next_at"])


def report_down(now: datetime) -> int:
    """Open an alert about each channel that has failed for `backoff.DOWN_AFTER`.

    It goes to the other channels, and stays open until a message or a test is accepted. Return the
    number of such channels.
    """
    down = AlertChannel.objects.filter(is_enabled=True, failing_since__lte=now - backoff.DOWN_AFTER)
    for channel in down:
        _begin_alert(channel)
    return len(down)


def _begin_alert(channel: AlertChannel) -> None:
    alerts.begin(
        CHANNEL_DOWN,
        channel.name,
        f"The alert channel {channel.name} has accepted no message since"
        f" {utc(channel.failing_since)}: {channel.problem} Alerts reach only the other channels:"
        " correct its address and send a test.",
        {"failures": channel.failures, "kind": channel.kind},
    )


def end_alert(name: str) -> None:
    """Close the alert about a channel, if one is open."""
    alerts.end(CHANNEL_DOWN, name)


def free(channel_id: int, now: datetime) -> None:
    """Let other processes use a channel that this one has finished with, unless it failed."""
    AlertChannel.objects.filter(pk=channel_id, failures=0).update(next_at=now)


def lease(channel_ids: list[int], until: datetime) -> None:
    """Keep other processes from using these channels for a while, even if this process dies."""
    AlertChannel.objects.filter(pk__in=channel_ids).update(next_at=until)
