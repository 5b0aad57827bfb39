"""The text of a message to a channel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from aifeature.models import Alert, Delivery

MOST_LINES: Final = 40
"""Alerts that a summary names. It counts the others."""

_BEGAN: Final = {Delivery.Event.BEGIN: "alert.began", Delivery.Event.ESCALATION: "alert.escalated"}


@dataclass(frozen=True, slots=True)
class Message:
    """One message, for any kind of channel."""

    id: UUID
    """The same at each try, so that a receiver finds a repeated message."""
    type: str
    """`alert.began`, `alert.escalated`, `alert.ended`, `alerts.summary` or `channel.test`."""
    title: str
    lines: tuple[str, ...]
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    topic: str = ""
    """The same in all messages about one alert, so that its end closes the incident of a pager."""

    @property
    def text(self) -> str:
        """The lines, and a last one that makes a repeated message recognizable."""
        again = f"Message {self.id}. It may arrive twice with this id."
        return "\n".join([*self.lines, again])

    def payload(self) -> dict[str, Any]:
        """Return the body of a webhook, in the form of Standard Webhooks."""
        return {
            "type": self.type,
            "timestamp": self.at.astimezone(UTC).isoformat(),
            "data": {"title": self.title, "text": "\n".join(self.lines), **self.data},
        }


def of_alert(row: Delivery, alert: Alert, *, page: str | None, notified: Iterable[str]) -> Message:
    """Return the message of a begin, an end or an escalation.

    Args:
        row: The delivery.
        alert: Its alert.
        page: Name of its runbook.
        notified: Of an escalation: who was notified before, and when. One line each.
    """
    about = f"{alert.kind.replace('_', ' ')}: {alert.subject}"
    lines = [alert.summary, f"Since {utc(alert.opened_at)}."]
    if row.event == Delivery.Event.END:
        title, kind = f"Over: {about}", "alert.ended"
        lines[1] = f"From {utc(alert.opened_at)} to {utc(alert.closed_at)}."
    elif row.event == Delivery.Event.ESCALATION:
        title, kind = f"Nobody acknowledged: {about}", _BEGAN[Delivery.Event.ESCALATION]
        lines += ["Notified before:", *(f"- {line}" for line in notified)]
    else:
        title, kind = f"Alert: {about}", _BEGAN[Delivery.Event.BEGIN]
    lines += _links(alert, page)
    return Message(
        row.message_id, kind, title, tuple(lines), row.created_at, _data(alert), f"alert-{alert.pk}"
    )


def summary(row: Delivery, alerts: Iterable[Alert]) -> Message:
    """Return one message about many alerts: open ones first, each on its line."""
    found = sorted(alerts, key=lambda alert: (alert.closed_at is not None, alert.opened_at))
    still = [alert for alert in found if alert.closed_at is None]
    title = f"{len(found)} alerts, {len(still)} of them open"
    if not still:
        title = f"{len(found)} alerts began and ended before this channel could be notified"
    lines = [_line(alert) for alert in found[:MOST_LINES]]
    if more := len(found) - len(lines):
        lines.append(f"- and {more} more")
    return Message(
        row.message_id,
        "alerts.summary",
        title,
        (*lines, *_site("/admin/aifeature/alert/")),
        row.created_at,
        {"alerts": [_data(alert) for alert in found[:MOST_LINES]], "count": len(found)},
        f"summary-{row.pk}",
    )


def of_test(row: Delivery, channel: str) -> Message:
    """Return the message of the test button."""
    return Message(
        row.message_id,
        "channel.test",
        f"Test of the alert channel {channel}",
        ("An operator sent this test. There is no alert, and nothing to do.",),
        row.created_at,
        {"channel": channel},
        f"test-{row.pk}",
    )


def utc(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if moment else "-"


def _line(alert: Alert) -> str:
    until = f" to {utc(alert.closed_at)}, over" if alert.closed_at else ", open"
    return f"- {alert.kind.replace('_', ' ')}: {alert.subject}, {utc(alert.opened_at)}{until}"


def _links(alert: Alert, page: str | None) -> list[str]:
    runbook = [f"Runbook: deploy/runbooks/{page}.md"] if page else []
    return [*runbook, *_site(f"/admin/aifeature/alert/{alert.pk}/change/")]


def _site(path: str) -> list[str]:
    address = settings.AIFEATURE["SITE_URL"]
    return [f"Details: {address}{path}" if address else f"Details: {path} of this site"]


def _data(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.pk,
        "kind": alert.kind,
        "subject": alert.subject,
        "summary": alert.summary,
        "opened_at": alert.opened_at.isoformat(),
        "closed_at": alert.closed_at.isoformat() if alert.closed_at else None,
        "figures": alert.figures,
    }
