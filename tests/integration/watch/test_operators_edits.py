"""At a start of beat the edits of operators stay, and the rest follows the code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from celery.schedules import crontab
from django.contrib.auth.models import User
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from aifeature.models import ScheduleDefault
from aifeature.services.watch import schedule as schedule_of_beat
from aifeature.services.watch.protected import PROTECTED
from project.celery import app
from tests.integration.watch.test_beat import start

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("committed", "handlers")]

NAMES = sorted(app.conf.beat_schedule)


def released(monkeypatch: pytest.MonkeyPatch, name: str, **changed: Any) -> None:
    """Deploy a release whose code has other values for this row."""
    entry = {**app.conf.beat_schedule[name], **changed}
    monkeypatch.setitem(app.conf.beat_schedule, name, entry)


def _every(row: Any) -> None:
    row.interval, _ = IntervalSchedule.objects.get_or_create(every=7, period="seconds")
    row.crontab = None


def _at(row: Any) -> None:
    row.crontab, _ = CrontabSchedule.objects.get_or_create(minute="*/3", timezone="UTC")
    row.interval = None


def edited_budgets(user: User) -> Any:
    """Start beat, and edit a row."""
    start()
    row = PeriodicTask.objects.get(name="Look at budgets")
    _every(row)
    schedule_of_beat.save(row, reason="Tonight.", user_id=user.pk)
    return row


def _set(**values: Any) -> Callable[[Any], None]:
    def edit(row: Any) -> None:
        for field, value in values.items():
            setattr(row, field, value)

    return edit


EDITS: dict[str, Callable[[Any], None]] = {
    "interval": _every,
    "crontab": _at,
    "enabled": _set(enabled=False),
    "queue": _set(queue="evals"),
    "expiry": _set(expire_seconds=9),
    "priority": _set(priority=3),
    "arguments": _set(kwargs='{"a": 1}'),
    "several": _set(queue="llm", expire_seconds=3, one_off=True),
}


def shown(row: Any) -> dict[str, Any]:
    free = {"last_run_at", "total_run_count", "date_changed"}
    return {f.attname: getattr(row, f.attname) for f in row._meta.fields if f.name not in free}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_any_row_survives_two_starts(ada: User, edit: str) -> None:
    start()
    for row in PeriodicTask.objects.all():
        EDITS[edit](row)
        schedule_of_beat.save(row, reason="Tonight.", user_id=ada.pk)
    edited = {row.name: shown(row) for row in PeriodicTask.objects.all()}
    assert len(edited) == len(NAMES)
    for _ in range(2):
        start()
        assert {row.name: shown(row) for row in PeriodicTask.objects.all()} == edited


def test_unedited_fields_follow_the_release(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    row = edited_budgets(ada)
    released(
        monkeypatch, "Look at budgets", schedule=crontab(minute="5"), options={"queue": "evals"}
    )
    released(monkeypatch, "Look at controls", schedule=30.0)
    start()
    row.refresh_from_db()
    assert (str(row.interval), row.crontab, row.queue) == ("every 7 seconds", None, "evals")
    assert str(PeriodicTask.objects.get(name="Look at controls").interval) == "every 30 seconds"


def test_a_reverted_row_follows_the_code(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    start()
    usual = PeriodicTask.objects.get(name="Look at budgets").interval
    row = edited_budgets(ada)
    start()
    row.interval = usual
    schedule_of_beat.save(row, reason="The night is over.", user_id=ada.pk)
    released(monkeypatch, "Look at budgets", schedule=30.0)
    start()
    row.refresh_from_db()
    assert str(row.interval) == "every 30 seconds"


def test_an_edit_in_a_shell_survives_as_well() -> None:
    start()
    row: Any = PeriodicTask.objects.get(name="Look at controls")  # not protected
    _every(row)
    row.save()
    start()
    row.refresh_from_db()
    assert str(row.interval) == "every 7 seconds"


def test_a_row_that_was_deleted_is_not_made_again(ada: User) -> None:
    start()
    schedule_of_beat.delete(
        PeriodicTask.objects.get(name="Look at controls"), reason="r", user_id=ada.pk
    )
    scheduler = start()
    assert "Look at controls" not in scheduler.schedule
    assert PeriodicTask.objects.count() == len(NAMES) - 1


def test_a_protected_check_that_was_deleted_comes_back(ada: User) -> None:
    """Without protected checks, spend would have no guards."""
    start()
    usual = {row.name: shown(row) for row in PeriodicTask.objects.filter(task__in=PROTECTED)}
    assert len(usual) == len(PROTECTED)
    for row in PeriodicTask.objects.filter(task__in=PROTECTED):
        schedule_of_beat.delete(row, reason="r", user_id=ada.pk)
    scheduler = start()
    assert usual.keys() <= scheduler.schedule.keys()
    back = {row.name: shown(row) for row in PeriodicTask.objects.filter(task__in=PROTECTED)}
    assert {name: {**row, "id": 0} for name, row in back.items()} == {
        name: {**row, "id": 0} for name, row in usual.items()
    }


def test_a_protected_check_that_was_renamed_is_not_sent_twice(ada: User) -> None:
    start()
    row: Any = PeriodicTask.objects.get(name="Look at budgets")
    row.name = "Look at all budgets"
    schedule_of_beat.save(row, reason="r", user_id=ada.pk)
    scheduler = start()
    assert "Look at budgets" not in scheduler.schedule
    assert PeriodicTask.objects.count() == len(NAMES)


def test_edits_of_the_release_before_survive(ada: User) -> None:
    row = edited_budgets(ada)
    ScheduleDefault.objects.all().delete()  # the release before has no such rows
    for _ in range(2):
        start()
        row.refresh_from_db()
        assert str(row.interval) == "every 7 seconds"
