"""At the next start of beat an edit by an operator stays, and the rest follows the code."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery.schedules import crontab
from django.contrib.auth.models import User
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from aifeature.models import ScheduleDefault
from aifeature.services.watch import schedule as trail
from aifeature.services.watch.protected import PROTECTED
from project.beat import Scheduler
from project.celery import app

pytestmark = pytest.mark.usefixtures("committed")

NAMES = sorted(app.conf.beat_schedule)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Signals are handled as before when the test is over."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


def start() -> Scheduler:
    return Scheduler(app=app)  # type: ignore[no-untyped-call]


def released(monkeypatch: pytest.MonkeyPatch, name: str, **changed: Any) -> None:
    """A release whose code defines this row otherwise."""
    entry = {**app.conf.beat_schedule[name], **changed}
    monkeypatch.setitem(app.conf.beat_schedule, name, entry)


def _every(row: Any) -> None:
    row.interval, _ = IntervalSchedule.objects.get_or_create(every=7, period="seconds")
    row.crontab = None


def _at(row: Any) -> None:
    row.crontab, _ = CrontabSchedule.objects.get_or_create(minute="*/3", timezone="UTC")
    row.interval = None


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
        trail.save(row, reason="Tonight.", user_id=ada.pk)
    edited = {row.name: shown(row) for row in PeriodicTask.objects.all()}
    assert len(edited) == len(NAMES)
    for _ in range(2):
        start()
        assert {row.name: shown(row) for row in PeriodicTask.objects.all()} == edited


def test_what_was_not_edited_follows_the_next_release(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    row = PeriodicTask.objects.get(name="Look at budgets")
    _every(row)
    trail.save(row, reason="Tonight.", user_id=ada.pk)
    released(
        monkeypatch, "Look at budgets", schedule=crontab(minute="5"), options={"queue": "evals"}
    )
    released(monkeypatch, "Look at controls", schedule=30.0)
    start()
    row.refresh_from_db()
    assert (str(row.interval), row.crontab, row.queue) == ("every 7 seconds", None, "evals")
    assert str(PeriodicTask.objects.get(name="Look at controls").interval) == "every 30 seconds"


def test_a_row_that_is_as_the_code_had_it_again_follows_the_code_again(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    row = PeriodicTask.objects.get(name="Look at budgets")
    usual = row.interval
    _every(row)
    trail.save(row, reason="Tonight.", user_id=ada.pk)
    start()
    row.interval = usual
    trail.save(row, reason="The night is over.", user_id=ada.pk)
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
    trail.delete(PeriodicTask.objects.get(name="Look at controls"), reason="r", user_id=ada.pk)
    scheduler = start()
    assert "Look at controls" not in scheduler.schedule
    assert PeriodicTask.objects.count() == len(NAMES) - 1


def test_a_protected_check_that_was_deleted_comes_back(ada: User) -> None:
    """A start of beat must not leave spend without its guards."""
    start()
    usual = {row.name: shown(row) for row in PeriodicTask.objects.filter(task__in=PROTECTED)}
    assert len(usual) == len(PROTECTED)
    for row in PeriodicTask.objects.filter(task__in=PROTECTED):
        trail.delete(row, reason="r", user_id=ada.pk)
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
    trail.save(row, reason="r", user_id=ada.pk)
    scheduler = start()
    assert "Look at budgets" not in scheduler.schedule
    assert PeriodicTask.objects.count() == len(NAMES)


def test_edits_of_the_release_before_are_known_by_the_audit_trail(ada: User) -> None:
    start()
    row = PeriodicTask.objects.get(name="Look at budgets")
    _every(row)
    trail.save(row, reason="Tonight.", user_id=ada.pk)
    ScheduleDefault.objects.all().delete()  # as that release left it
    for _ in range(2):
        start()
        row.refresh_from_db()
        assert str(row.interval) == "every 7 seconds"
