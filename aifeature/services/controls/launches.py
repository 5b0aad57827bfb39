"""Announced launches. Each change writes a row of the audit log."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from aifeature.models import ControlChange, Launch

FIELD: Final = "launch"
"""`ControlChange.field` of a launch."""


def save(launch: Launch, *, user_id: int) -> None:
    """Announce or change a launch. Its note is the reason in the audit log.

    Raises:
        ValueError: The note is empty.
    """
    with transaction.atomic():
        before = Launch.objects.select_for_update().filter(pk=launch.pk).first()
        if before is None:
            launch.announced_by_id = user_id
        launch.save()
        old = in_words(before) if before else ""
        _record(launch, old, in_words(launch), reason=launch.note, user_id=user_id)


def withdraw(launch: Launch, *, reason: str, user_id: int) -> None:
    """Delete a launch. The audit log keeps its values.

    Raises:
        ValueError: The reason is empty.
    """
    with transaction.atomic():
        _record(launch, in_words(launch), "", reason=reason, user_id=user_id)
        launch.delete()


def in_words(launch: Launch) -> str:
    """Describe the expected factor and the period."""
    hours = f"{launch.starts_at:%Y-%m-%d %H:%M} to {launch.ends_at:%Y-%m-%d %H:%M} UTC"
    return f"{launch.factor.normalize():f} times the usual, {hours}"


def _record(launch: Launch, old: str, new: str, *, reason: str, user_id: int) -> None:
    if not reason.strip():
        raise ValueError("a launch needs a note, and its withdrawal a reason")
    ControlChange.objects.create(
        feature=launch.feature, field=FIELD, old=old, new=new, reason=reason, user_id=user_id
    )
