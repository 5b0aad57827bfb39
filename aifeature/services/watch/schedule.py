"""Changes of the schedule. Each writes rows of the audit log.

A trigger requires these rows for each change of a protected check, even from a shell.
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

AUDIT_NAME: Final = "_schedule"
"""`ControlChange.feature` of the schedule. No slug begins with an underscore."""

BEAT: Final = "beat"
"""`ControlChange.check_name` when a release changes the schedule."""

_FREE: Final = frozenset({"id", "last_run_at", "total_run_count", "date_changed"})
"""Columns that beat and its library write; not audited."""

_SCHEDULES: Final = frozenset({"interval", "crontab", "solar", "clocked"})


class NotSentError(Exception):
    """The broker did not take the message. The text names the next step."""


def save(row: Any, *, reason: str, user_id: int) -> None:
    """Store a new or changed periodic task, with one audit row for each changed field.

    Args:
        row: A PeriodicTask. Callers check it (`broken.problems`, `protected.weakened`).
        reason: For the audit log.
        user_id: The operator.

    Raises:
        ValueError: The reason is empty.
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
        ValueError: The reason is empty.
    """
    _check(reason)
    with transaction.atomic():
        _record(row, [("deleted", row.task, "")], reason=reason, user_id=user_id)
        row.delete()


def run_now(row: Any, *, reason: str, user_id: int) -> None:
    """Send a task of the schedule once, now. Callers check it (`broken.problems`).

    Raises:
        ValueError: The reason is empty.
        NotSentError: The broker does not answer. The audit log keeps the attempt.
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
            f"{row.task} was not sent, since the broker does not answer. Check Redis, then try"
            " again."
        ) from error


def record_release(name: str, defined: Mapping[str, Any]) -> None:
    """Write audit rows for the fields that this release changes. For beat.

    Call it in the transaction that stores the new values.
    """
    row = PeriodicTask.objects.select_for_update().filter(name=name).first()
    if row is not None:
        after = PeriodicTask(**{**_columns(row), **_ids(defined)})
        changed = differences(row, after)
        _record(row, changed, reason="This release defines it so.", check_name=BEAT)


def changes() -> QuerySet[ControlChange]:
    return ControlChange.objects.filter(feature=AUDIT_NAME)


def differences(before: Any, after: Any) -> list[tuple[str, str, str]]:
    """Return the fields in which two rows differ, with the old and the new value as text."""
    return [
        (field.name, _words(before, field), _words(after, field))
        for field in before._meta.concrete_fields  # noqa: SLF001 (public in Django)
        if field.name not in _FREE and _stored(before, field) != _stored(after, field)
    ]


def in_words(columns: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a PeriodicTask as text by column, for comparisons."""
    row = PeriodicTask(**_ids(columns))
    fields = (PeriodicTask._meta.get_field(name) for name in columns)  # noqa: SLF001 (public in Django)
    return {field.name: _words(row, field) for field in fields}


def _stored(row: Any, field: Any) -> Any:
    """Return a value as stored: the library turns an empty string into NULL where allowed."""
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
    """Replace a schedule object by its id, so that the stored schedule is read."""
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
            feature=AUDIT_NAME,
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
