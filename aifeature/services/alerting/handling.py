"""Actions of people about an alert: acknowledge, assign, silence. Each writes an audit row."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from aifeature.models import Alert, ControlChange, Silence
from aifeature.models.functions import database_now
from aifeature.services.alerting import silences

AUDIT_NAME: Final = "_alerts"
"""`ControlChange.feature` of alerts and channels. No slug begins with an underscore."""

LONGEST_SILENCE: Final = timedelta(days=7)

ACKNOWLEDGED: Final = "acknowledged"
ASSIGNED: Final = "assigned"
SILENCED: Final = "silenced"
"""`ControlChange.field` of what was done."""


class HandlingRefusedError(Exception):
    """The alert cannot be handled like this. The text has the reason."""


def acknowledge(alert_id: int, *, user_id: int, reason: str = "") -> bool:
    """Record that the user works on an open alert: it is not escalated or sent again.

    Returns False if it was acknowledged before.

    Raises:
        HandlingRefusedError: The alert has ended.
    """
    with transaction.atomic():
        alert = _open(alert_id)
        if alert.acknowledged_at is not None:
            return False
        alert.acknowledged_at, alert.acknowledged_by_id = database_now(), user_id
        alert.save(update_fields=["acknowledged_at", "acknowledged_by"])
        why = reason.strip() or "They work on it."
        audit(ACKNOWLEDGED, "", str(alert), reason=why, user_id=user_id, about=alert)
    return True


def acknowledge_all(alert_ids: Iterable[int], *, user_id: int) -> int:
    """Acknowledge the open ones of these alerts. Return how many were not acknowledged before."""
    count = 0
    for alert_id in alert_ids:
        with suppress(HandlingRefusedError):
            count += acknowledge(alert_id, user_id=user_id)
    return count


def assign(alert_id: int, to_id: int | None, *, reason: str, user_id: int) -> None:
    """Assign an alert to a member of staff, or remove the assignment.

    Raises:
        HandlingRefusedError: The account is closed or is not of the staff, or the reason is empty.
    """
    _need(reason)
    with transaction.atomic():
        alert = Alert.objects.select_for_update().get(pk=alert_id)
        staff = get_user_model().objects.filter(is_active=True, is_staff=True)
        if to_id is not None and not staff.filter(pk=to_id).exists():
            raise HandlingRefusedError("Choose an active account of the staff.")
        before, alert.assigned_to_id = alert.assigned_to_id, to_id
        alert.save(update_fields=["assigned_to"])
        old, new = (f"#{pk}" if pk else "" for pk in (before, to_id))
        audit(
            ASSIGNED,
            f"{alert} {old}".strip(),
            f"{alert} {new}".strip(),
            reason=reason,
            user_id=user_id,
            about=alert,
        )


def silence(alert_id: int, until: datetime, *, reason: str, user_id: int) -> Silence:
    """Send no message about this kind and subject until then. The alert stays visible.

    It replaces an earlier silence of the same kind and subject.

    Raises:
        HandlingRefusedError: The time is past or too far away, or the reason is empty.
    """
    _need(reason)
    with transaction.atomic():
        alert = Alert.objects.select_for_update().get(pk=alert_id)
        now = database_now()
        if until <= now:
            raise HandlingRefusedError("This time is past: choose a later one.")
        if until > now + LONGEST_SILENCE:
            raise HandlingRefusedError("A silence lasts 7 days at most: choose an earlier time.")
        old = silences.of(alert, now)
        silences.at(now).filter(kind=alert.kind, subject=alert.subject).update(lifted_at=now)
        made = Silence.objects.create(
            kind=alert.kind,
            subject=alert.subject,
            until=until,
            reason=reason,
            created_by_id=user_id,
            created_at=now,
        )
        audit(SILENCED, str(old or ""), str(made), reason=reason, user_id=user_id, about=alert)
    return made


def lift(silence_id: int, *, reason: str, user_id: int) -> bool:
    """End a silence now. Return False if it is over already.

    Raises:
        HandlingRefusedError: The reason is empty.
    """
    _need(reason)
    with transaction.atomic():
        row = Silence.objects.select_for_update().get(pk=silence_id)
        now = database_now()
        if row.until <= now or row.lifted_at is not None:
            return False
        row.lifted_at = now
        row.save(update_fields=["lifted_at"])
        about = Alert(kind=row.kind, subject=row.subject)
        audit(SILENCED, str(row), "", reason=reason, user_id=user_id, about=about)
    return True


def audit(
    field: str, old: str, new: str, *, reason: str, user_id: int, about: Alert | None = None
) -> None:
    """Write an audit row about an alert or a channel."""
    ControlChange.objects.create(
        feature=AUDIT_NAME,
        field=field,
        old=old,
        new=new,
        reason=reason,
        user_id=user_id,
        figures={"kind": about.kind, "subject": about.subject} if about else None,
    )


def history(alert: Alert) -> QuerySet[ControlChange]:
    """Return what people did about this kind and subject, newest first."""
    about = {"kind": alert.kind, "subject": alert.subject}
    return ControlChange.objects.filter(feature=AUDIT_NAME, figures__contains=about)


def _open(alert_id: int) -> Alert:
    alert = Alert.objects.select_for_update().get(pk=alert_id)
    if alert.closed_at is not None:
        ended = timezone.localtime(alert.closed_at)
        raise HandlingRefusedError(f"It ended at {ended:%H:%M} UTC: there is nothing to do.")
    return alert


def _need(reason: str) -> None:
    if not reason.strip():
        raise HandlingRefusedError("Enter a reason. It is stored in the audit log.")
