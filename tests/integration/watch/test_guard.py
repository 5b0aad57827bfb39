"""The schedule of protected checks changes only with an audit row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
    SolarSchedule,
)

from aifeature.models import ControlChange
from aifeature.services.watch import protected
from aifeature.services.watch import schedule as schedule_of_beat
from project.beat import Entry, Scheduler
from project.celery import app

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.usefixtures("schedule")]


def of(task: str) -> Any:
    return PeriodicTask.objects.filter(task=task)


def test_the_database_protects_the_same_checks() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT task FROM django_celery_beat_periodictask WHERE aif_is_protected(task)"
        )
        assert {task for (task,) in cursor.fetchall()} == protected.PROTECTED


PAST_ADMIN: dict[str, Callable[[Any], object]] = {
    "disabled": lambda row: of(row.task).update(enabled=False),
    "made one-off": lambda row: of(row.task).update(one_off=True),
    "expiring": lambda row: of(row.task).update(expire_seconds=1),
    "delayed": lambda row: of(row.task).update(start_time="2100-01-01T00:00:00Z"),
    "another task": lambda row: of(row.task).update(task="llm.run_job"),
    "another queue": lambda row: of(row.task).update(queue="llm"),
    "other arguments": lambda row: of(row.task).update(kwargs='{"a": 1}'),
    "headers that are no object": lambda row: of(row.task).update(headers="[]"),
    "another interval": lambda row: of(row.task).update(
        interval=IntervalSchedule.objects.create(every=1, period="days"), crontab=None
    ),
    "a slower interval": lambda _: IntervalSchedule.objects.update(every=F("every") * 100),
    "another crontab": lambda _: CrontabSchedule.objects.update(hour="3"),
    "deleted": lambda row: of(row.task).delete(),
    "deleted with its interval": lambda _: IntervalSchedule.objects.all().delete(),
    "all at once": lambda _: PeriodicTask.objects.update(enabled=False),
}


@pytest.mark.parametrize("how", PAST_ADMIN)
def test_sql_cannot_weaken_a_protected_check(schedule: dict[str, Any], how: str) -> None:
    with pytest.raises(IntegrityError, match="sends a protected check"), transaction.atomic():
        PAST_ADMIN[how](schedule["control.cost_spike"])
    assert list(PeriodicTask.objects.order_by("name")) == sorted(
        schedule.values(), key=lambda row: row.name
    )


@pytest.mark.parametrize("task", sorted(protected.PROTECTED))
def test_each_protected_check_is_guarded(task: str) -> None:
    with pytest.raises(IntegrityError, match="changing enabled is"), transaction.atomic():
        of(task).update(enabled=False)


def test_an_audit_row_allows_its_own_change(schedule: dict[str, Any], ada: User) -> None:
    row, other = schedule["control.budgets"], schedule["control.provider"]
    row.enabled = False
    schedule_of_beat.save(row, reason="Too noisy tonight.", user_id=ada.pk)
    assert not of(row.task).get().enabled
    others: list[Callable[[], object]] = [
        lambda: of(other.task).update(enabled=False),
        lambda: of(row.task).update(queue="llm"),
        lambda: of(row.task).delete(),
    ]
    for act in others:
        with pytest.raises(IntegrityError, match="is refused"), transaction.atomic():
            act()


@pytest.mark.django_db(transaction=True)
def test_an_earlier_audit_row_allows_nothing(schedule: dict[str, Any], ada: User) -> None:
    row = schedule["control.budgets"]
    row.enabled = False
    schedule_of_beat.save(row, reason="Too noisy tonight.", user_id=ada.pk)
    row.enabled = True
    schedule_of_beat.save(row, reason="Fixed.", user_id=ada.pk)
    with pytest.raises(IntegrityError, match="is refused"):
        of(row.task).update(enabled=False)


@pytest.mark.parametrize(
    "audit", [{"reason": " "}, {"user": None}, {"feature": "summarize"}], ids=str
)
def test_an_incomplete_audit_row(
    schedule: dict[str, Any], ada: User, audit: dict[str, Any]
) -> None:
    row = schedule["control.budgets"]
    figures = {"row": f"django_celery_beat_periodictask {row.pk}"}
    values = {"feature": "_schedule", "field": "enabled", "reason": "r", "user": ada}
    ControlChange.objects.create(**{**values, "figures": figures, **audit})
    with pytest.raises(IntegrityError, match="is refused"), transaction.atomic():
        of(row.task).update(enabled=False)


@pytest.mark.parametrize("name", ["clocked", "solar"])
def test_any_schedule_kind_is_guarded(schedule: dict[str, Any], ada: User, name: str) -> None:
    kinds: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
        "clocked": (
            ClockedSchedule,
            {"clocked_time": datetime(2100, 1, 1, tzinfo=UTC)},
            {"clocked_time": datetime(2200, 1, 1, tzinfo=UTC)},
        ),
        "solar": (
            SolarSchedule,
            {"event": "sunset", "latitude": 52, "longitude": 13},
            {"event": "sunrise"},
        ),
    }
    model, values, later = kinds[name]
    followed = model.objects.create(**values)
    row = schedule["control.budgets"]
    row.interval, row.one_off = None, name == "clocked"
    setattr(row, name, followed)
    schedule_of_beat.save(row, reason="A test.", user_id=ada.pk)
    with pytest.raises(IntegrityError, match="sends a protected check"), transaction.atomic():
        model.objects.update(**later)
    assert model.objects.filter(**values).exists()


@pytest.mark.parametrize("act", ["save", "delete", "run_now"])
def test_a_change_requires_a_reason(schedule: dict[str, Any], ada: User, act: str) -> None:
    row = schedule["control.budgets"]
    row.enabled = False
    with pytest.raises(ValueError, match="needs a reason"):
        getattr(schedule_of_beat, act)(row, reason=" ", user_id=ada.pk)
    assert of(row.task).get().enabled


def test_writes_of_beat_and_other_rows_are_free(schedule: dict[str, Any]) -> None:
    entry = Entry(schedule["control.budgets"], app=app)
    next(entry).save()
    assert of("control.budgets").get().total_run_count == 1
    of("control.budgets").update(description="Looks at budgets.")
    own = IntervalSchedule.objects.create(every=7, period="minutes")
    PeriodicTask.objects.create(name="own", task="llm.run_job", interval=own)
    of("llm.run_job").update(enabled=False)
    IntervalSchedule.objects.filter(pk=own.pk).update(every=8)
    of("llm.run_job").delete()


def test_a_changed_schedule_of_the_code_is_recorded() -> None:
    (name, entry), *_ = (
        item for item in app.conf.beat_schedule.items() if item[1]["task"] == "control.budgets"
    )
    Entry.from_entry(name, app=app, **{**entry, "schedule": 30.0})
    assert of("control.budgets").get().interval.every == 30
    (change,) = ControlChange.objects.all()
    assert (change.feature, change.field, change.check_name) == ("_schedule", "interval", "beat")
    assert (change.old, change.new) == (f"{name}: every 60 seconds", f"{name}: every 30 seconds")


def test_a_start_of_beat_changes_no_default_row() -> None:
    for name, entry in app.conf.beat_schedule.items():
        Entry.from_entry(name, app=app, **entry)
    assert not ControlChange.objects.exists()
    assert PeriodicTasks.objects.exists()
    assert Scheduler.Entry is Entry
