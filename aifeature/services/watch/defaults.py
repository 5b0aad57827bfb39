"""Which fields of the code's schedule an operator edited, and so the start of beat leaves alone.

A release may define a row otherwise than the last one did, and an operator may have edited it. So
what the code defined last is stored beside the row: a field that still is as defined follows the
code, and one that differs was edited and stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django_celery_beat.models import PeriodicTask

from aifeature.models import ControlChange, ScheduleDefault
from aifeature.services.watch import schedule
from aifeature.services.watch.protected import PROTECTED

_WHEN: Final = frozenset({"interval", "crontab", "solar", "clocked"})
"""Fields that are one: a row has exactly one of them."""


def unedited(name: str, defined: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of the code's definition is to be stored, and remember the whole of it.

    Call it in the transaction that stores the new values.

    Args:
        name: Of the row.
        defined: Columns of a PeriodicTask, as the code has them.
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
    """Those of the code's rows that an operator deleted or renamed: they were stored once.

    A protected check that no row sends any more is none of them. It comes back.

    Args:
        entries: Of the code's schedule, by name.
    """
    stored = ScheduleDefault.objects.filter(name__in=entries).values_list("name", flat=True)
    there = PeriodicTask.objects.filter(name__in=entries).values_list("name", flat=True)
    sent = set(PeriodicTask.objects.values_list("task", flat=True))
    lost = {name for name, entry in entries.items() if entry["task"] in PROTECTED - sent}
    return set(stored) - set(there) - lost


def _edited(row: Any, defined: Mapping[str, str]) -> set[str]:
    now = schedule.in_words({field: getattr(row, field) for field in defined})
    return {field for field, words in defined.items() if now[field] != words}


def _edited_by_people(row: Any, defined: Mapping[str, Any]) -> set[str]:
    """The same of a row that a release before this table stored, by the audit trail."""
    figures = {"row": f"{PeriodicTask._meta.db_table} {row.pk}"}  # noqa: SLF001 (public in Django)
    changes = ControlChange.objects.filter(
        feature=schedule.TRAIL, field__in=list(defined), figures__contains=figures
    )
    newest = {change.field: change.user_id for change in changes.order_by("id")}
    return {field for field, user_id in newest.items() if user_id is not None}
