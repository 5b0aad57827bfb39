"""Rate overrides of users and groups. Each change writes a row of the audit log."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from aifeature.models import ControlChange, RateOverride
from aifeature.services.controls import waiting_jobs
from aifeature.services.controls.effective import GLOBAL

FIELD: Final = "rate_override"
"""`ControlChange.field` of an override."""

_NONE: Final = "the feature's rates"


def save(override: RateOverride, *, user_id: int) -> None:
    """Store a new or changed override. Its reason is copied to the audit log.

    Raises:
        ValueError: The reason is empty.
    """
    with transaction.atomic():
        before = RateOverride.objects.select_for_update().filter(pk=override.pk).first()
        if before is None:
            override.created_by_id = user_id
        override.save()
        old = in_words(before) if before else ""
        _record(override, old, in_words(override), reason=override.reason, user_id=user_id)
        waiting_jobs.reschedule(override.feature, user_id=override.user_id)


def lift(override: RateOverride, *, reason: str, user_id: int) -> None:
    """Delete an override. The audit log keeps its values.

    Raises:
        ValueError: The reason is empty.
    """
    with transaction.atomic():
        _record(override, in_words(override), _NONE, reason=reason, user_id=user_id)
        waiting_jobs.reschedule(override.feature, user_id=override.user_id)
        override.delete()


def in_words(override: RateOverride) -> str:
    """Describe the override for the audit log, which names users by id only."""
    subject = f"group {override.group}" if override.group_id else f"#{override.user_id}"
    per_minute = override.requests_per_minute
    rates = (
        (None if per_minute is None else f"{per_minute.normalize():f}", "requests/min"),
        (override.tokens_per_minute, "tokens/min"),
        (override.in_flight, "calls at once"),
    )
    given = ", ".join(f"{value} {unit}" for value, unit in rates if value is not None)
    until = f", until {override.expires_at:%Y-%m-%d %H:%M} UTC" if override.expires_at else ""
    return f"{subject}: {given or _NONE}{until}"


def _record(override: RateOverride, old: str, new: str, *, reason: str, user_id: int) -> None:
    if not reason.strip():
        raise ValueError("an exception from the rates needs a reason")
    ControlChange.objects.create(
        feature=override.feature or GLOBAL,
        field=FIELD,
        old=old,
        new=new,
        reason=reason,
        user_id=user_id,
    )
