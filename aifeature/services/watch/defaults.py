"""Fields of the code's schedule that an operator edited, which beat must not overwrite.

The code's last definition of each row is stored. A field that still equals it follows the code. A
field that differs was edited and stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django_celery_beat.models import PeriodicTask

from aifeature.models import ControlChange, ScheduleDefault
from aifeature.services.watch import schedule
from aifeature.services.watch.protected import PROTECTED

_WHEN: Final = frozenset({"interval", "crontab", "solar", "clocked"})
"""A row has exactly one of these fields."""


def unedited(name: str, defined: Mapping[str, Any]) -> dict[str, Any]:
    """Return the unedited fields with the code's values, and store the new definition.

    `defined` holds the code's values of the row by column. Call it in the transaction that stores
    the returned values.
    """
    row = PeriodicTask.objects.select_for_update().filter(name=name).first()
    before = ScheduleDefault.objects.filter(name=name).first()
    words = schedule.in_words(defined)
    ScheduleDefault.objects.update_or_create(name=name, defaults={"defined": words})
    if row is None:
        return dict(defined)
    edited = _edited(row, before.defined) if before else _edited_by_people(row, defined)
    if edited & _WHEN:
        edited |= _WHEN
    return {field: value for field, value in defined.items() if field not in edited}


def deleted(entries: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the names of the code's rows that an operator deleted or renamed.

    Protected checks that no row sends are left out, so beat restores them.
    """
    stored = ScheduleDefault.objects.filter(name__in=entries).values_list("name", flat=True)
    present = PeriodicTask.objects.filter(name__in=entries).values_list("name", flat=True)
    sent = set(PeriodicTask.objects.values_list("task", flat=True))
    lost = {name for name, entry in entries.items() if entry["task"] in PROTECTED - sent}
    return set(stored) - set(present) - lost


def _edited(row: Any, defined: Mapping[str, str]) -> set[str]:
    now = schedule.in_words({field: getattr(row, field) for field in defined})
    return {field for field, words in defined.items() if now[field] != words}


def _edited_by_people(row: Any, defined: Mapping[str, Any]) -> set[str]:
    """Return the edited fields from the audit log, for a row older than `ScheduleDefault`."""
    figures = {"row": f"{PeriodicTask._meta.db_table} {row.pk}"}  # noqa: SLF001 (public in Django)
    changes = ControlChange.objects.filter(
        feature=schedule.AUDIT_NAME, field__in=list(defined), figures__contains=figures
    )
    newest = {change.field: change.user_id for change in changes.order_by("id")}
    return {field for field, user_id in newest.items() if user_id is not None}
