"""The page of an alert: what it is, who handles it, why it was opened, and who was notified."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from aifeature.admin.alerting import open_alerts, why
from aifeature.admin.audit_log import changes
from aifeature.admin.common.show import moment, span, utc
from aifeature.models import Alert, Delivery, Silence
from aifeature.services.alerting import handling, silences

Fact = tuple[str, Any, str, str]
"""Name, value, remark and CSS class."""

HANDLE: Final = "aifeature.handle_alert"

STATES: Final = {
    "waiting": "warning",
    "silenced": "info",
    "sent": "success",
    "grouped": "success",
    "skipped": "",
    "given_up": "danger",
}
"""Colours of the states of a delivery."""

_MOST_ROWS: Final = 100
_HEADERS: Final = ("channel", "message", "state", "tries", "when", "problem")


def context(request: HttpRequest, alert: Alert) -> dict[str, Any]:
    """Return all that the page shows to this visitor."""
    silence = silences.of(alert, timezone.now())
    words, about = alert.kind.replace("_", " ").capitalize(), open_alerts.subject(alert)
    return {
        "alert": alert,
        "title": f"{words}: {about}",
        "kind": words,
        "subject_shown": about,
        "label": ("success", "ended") if alert.closed_at else ("danger", "open"),
        "silence": silence,
        "silenced_until": utc(silence.until) if silence else "",
        "buttons": _buttons(request, alert, silence),
        "facts": list(_facts(alert)),
        "why": why.context(alert),
        "deliveries": _deliveries(alert),
        "history": changes.latest(handling.history(alert)),
    }


def _buttons(request: HttpRequest, alert: Alert, silence: Silence | None) -> list[dict[str, Any]]:
    """Return the buttons that have an effect and that this visitor may press."""
    if not request.user.has_perm(HANDLE):
        return []
    made = []
    if alert.closed_at is None:
        if alert.acknowledged_at is None:
            made.append(("Acknowledge", "acknowledge", "check_circle"))
        made.append(("Assign", "assign", "person"))
    if silence:
        made.append(("Lift the silence", "lift", "notifications_active"))
    else:
        made.append(("Silence", "silence", "notifications_off"))
    return [
        {
            "text": text,
            "url": reverse(f"admin:aifeature_alert_{name}", args=(quote(alert.pk),)),
            "icon": icon,
            "danger": False,  # a red button is pressed first
        }
        for text, name, icon in made
    ]


def _facts(alert: Alert) -> Iterator[Fact]:
    lasted = (alert.closed_at or timezone.now()) - alert.opened_at
    yield "Since", utc(alert.opened_at), f"for {span(lasted.total_seconds())}", ""
    if alert.closed_at:
        yield "Ended", utc(alert.closed_at), "", ""
    else:
        yield "Last seen", utc(alert.seen_at), "", ""
    if alert.acknowledged_at:
        by = alert.acknowledged_by
        yield "Acknowledged by", by or "-", utc(alert.acknowledged_at), ""
    elif not alert.closed_at:
        yield "Acknowledged by", "nobody", "", "aif-doubt"
    yield "Assigned to", alert.assigned_to or "nobody", "", ""
    if alert.escalated_at:
        yield "Escalated", utc(alert.escalated_at), "", ""


def _deliveries(alert: Alert) -> dict[str, Any]:
    rows = Delivery.objects.filter(alert=alert).select_related("channel", "carried_by")
    return {"headers": _HEADERS, "rows": [_delivery(row) for row in rows[:_MOST_ROWS]]}


def _delivery(row: Delivery) -> list[Any]:
    carrier = row.carried_by or row
    state = row.get_state_display()
    if row.carried_by:
        state = f"{state}, {carrier.get_state_display().lower()}"
    at = carrier.ended_at or carrier.next_at
    return [
        row.channel.name,
        row.get_event_display(),
        state,
        carrier.tries,
        moment(at),
        carrier.problem or "-",
    ]
