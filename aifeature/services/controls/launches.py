"""Announced launches, each change with its row in the audit trail."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from aifeature.models import ControlChange, Launch

FIELD: Final = "launch"
"""What the audit trail calls one."""


def save(launch: Launch, *, user_id: int) -> None:
    """Announce a launch, or change what was announced; its note is the reason in the trail.

    Args:
        launch: What to store.
        user_id: Who does it.

    Raises:
        ValueError: it has no note.
    """
    with transaction.atomic():
        before = Launch.objects.select_for_update().filter(pk=launch.pk).first()
        if before is None:
            launch.announced_by_id = user_id
        launch.save()
        old = in_words(before) if before else ""
        _record(launch, old, in_words(launch), reason=launch.note, user_id=user_id)


def withdraw(launch: Launch, *, reason: str, user_id: int) -> None:
    """Delete an announcement; the audit trail keeps what it was.

    Raises:
        ValueError: no reason was given.
    """
    with transaction.atomic():
        _record(launch, in_words(launch), "", reason=reason, user_id=user_id)
        launch.delete()


def in_words(launch: Launch) -> str:
    """How much is expected, and when."""
    hours = f"{launch.starts_at:%Y-%m-%d %H:%M} to {launch.ends_at:%Y-%m-%d %H:%M} UTC"
    return f"{launch.factor.normalize():f} times the usual, {hours}"


def _record(launch: Launch, old: str, new: str, *, reason: str, user_id: int) -> None:
    if not reason.strip():
        raise ValueError("a launch needs a note, and its withdrawal a reason")
    ControlChange.objects.create(
        feature=launch.feature, field=FIELD, old=old, new=new, reason=reason, user_id=user_id
    )
