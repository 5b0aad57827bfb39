"""The one way to change the schedule: each change with its rows in the audit trail.

A trigger wants these rows of each change of a protected check, also from a shell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from celery import current_app
from django.db import transaction
from django.db.models import QuerySet
from django_celery_beat.models import PeriodicTask

from aifeature.models import ControlChange
from aifeature.services.stores import broker

TRAIL: Final = "_schedule"
"""What the audit trail names in place of a feature. No slug begins with an underscore."""

BEAT: Final = "beat"
"""What the audit trail names as the author when a release brings another schedule."""

_FREE: Final = frozenset({"id", "last_run_at", "total_run_count", "date_changed"})
"""Columns that beat and the library write."""

_SCHEDULES: Final = frozenset({"interval", "crontab", "solar", "clocked"})


class NotSentError(Exception):
    """The broker did not take the message. Its text says what to do."""


def save(row: Any, *, reason: str, user_id: int) -> None:
    """Store a periodic task, new or changed, with one audit row for each field that changes.

    Args:
        row: A PeriodicTask that was checked (`broken.problems`, `protected.weakened`).
        reason: Why; for the audit trail.
        user_id: Who does it.

    Raises:
        ValueError: there is no reason.
    """
    _check(reason)
    with transaction.atomic():
        before = PeriodicTask.objects.select_for_update().filter(pk=row.pk).first()
        if before is None:
            row.save()
            _record(row, [("added", "", row.task)], reason=reason, user_id=user_id)
            return
        _record(row, differences(before, row), reason=reason, user_id=user_id)
        row.save()


def delete(row: Any, *, reason: str, user_id: int) -> None:
    """Delete a periodic task.

    Raises:
        ValueError: there is no reason.
    """
    _check(reason)
    with transaction.atomic():
        _record(row, [("deleted", row.task, "")], reason=reason, user_id=user_id)
        row.delete()


def run_now(row: Any, *, reason: str, user_id: int) -> None:
    """Send a task of the schedule once, now. It was checked (`broken.problems`).

    Raises:
        ValueError: there is no reason.
        NotSentError: the broker does not answer; the audit trail keeps that it was tried.
    """
    _check(reason)
    queue = row.queue or current_app.conf.task_default_queue
    _record(row, [("run now", "", f"sent to {queue}")], reason=reason, user_id=user_id)
    try:
        broker.send(
            row.task, args=json.loads(row.args or "[]"), kwargs=json.loads(row.kwargs or "{}"),
            queue=queue,
        )  # fmt: skip
    except broker.BROKER_ERRORS as error:
        raise NotSentError(
            f"{row.task} was not sent, since the broker does not answer. Look at Redis, then try"
            " again."
        ) from error


def record_release(name: str, defined: Mapping[str, Any]) -> None:
    """Write down what this release's code defines otherwise than the stored row. For beat.

    Call it in the transaction that stores the new values.
    """
    row = PeriodicTask.objects.select_for_update().filter(name=name).first()
    if row is not None:
        after = PeriodicTask(**{**_columns(row), **_ids(defined)})
        changed = differences(row, after)
        _record(row, changed, reason="This release defines it so.", check_name=BEAT)


def changes() -> QuerySet[ControlChange]:
    """The audit rows of the schedule."""
    return ControlChange.objects.filter(feature=TRAIL)


def differences(before: Any, after: Any) -> list[tuple[str, str, str]]:
    """The fields in which two rows differ, each with its old and its new value in words."""
    return [
        (field.name, _words(before, field), _words(after, field))
        for field in before._meta.concrete_fields  # noqa: SLF001 (public in Django)
        if field.name not in _FREE and _stored(before, field) != _stored(after, field)
    ]


def in_words(columns: Mapping[str, Any]) -> dict[str, str]:
    """Values of a PeriodicTask by column in words, so that two of them can be compared."""
    row = PeriodicTask(**_ids(columns))
    fields = (PeriodicTask._meta.get_field(name) for name in columns)  # noqa: SLF001 (public in Django)
    return {field.name: _words(row, field) for field in fields}


def _stored(row: Any, field: Any) -> Any:
    """A value as it is stored: the library makes NULL of an empty text that may be NULL."""
    value = getattr(row, field.attname)
    return value or None if field.null and isinstance(value, str) else value


def _words(row: Any, field: Any) -> str:
    value = getattr(row, field.name)
    return "" if value is None else str(value)


def _columns(row: Any) -> dict[str, Any]:
    return {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields  # noqa: SLF001 (public in Django)
    }


def _ids(defined: Mapping[str, Any]) -> dict[str, Any]:
    """The schedule by its id, so that it is read as it is stored."""
    return {
        f"{name}_id" if name in _SCHEDULES else name: (
            value.pk if name in _SCHEDULES and value is not None else value
        )
        for name, value in defined.items()
    }


def _record(
    row: Any,
    changed: list[tuple[str, str, str]],
    *,
    reason: str,
    user_id: int | None = None,
    check_name: str = "",
) -> None:
    ControlChange.objects.bulk_create(
        ControlChange(
            feature=TRAIL,
            field=field,
            old=f"{row.name}: {old or '(empty)'}",
            new=f"{row.name}: {new or '(empty)'}",
            reason=reason,
            user_id=user_id,
            check_name=check_name,
            figures={"row": f"{PeriodicTask._meta.db_table} {row.pk}", "task": row.task},  # noqa: SLF001
        )
        for field, old, new in changed
    )


def _check(reason: str) -> None:
    if not reason.strip():
        raise ValueError("a change of the schedule needs a reason")
