"""A row that no worker could run is skipped with an alert; the others are sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import OperationalError, connection
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from aifeature.models import Alert
from aifeature.services.alerting import alerts
from aifeature.services.watch import broken
from project import scrubbing
from project.beat import SCHEDULE_BROKEN, Scheduler
from project.celery import app

pytestmark = pytest.mark.django_db


class QuietScheduler(Scheduler):
    """The scheduler of beat, without its signal handlers and its connection."""

    def setup_schedule(self) -> None:
        self.sent: list[str] = []

    def sync(self) -> None:
        pass

    def schedule_changed(self) -> bool:
        return False

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        self.sent.append(entry.name)


JOB = '{"job_id": "0"}'


@pytest.fixture
def every() -> Any:
    return IntervalSchedule.objects.create(every=1, period="seconds")


def add(every: Any, name: str = "Bad", **values: Any) -> Any:
    """Store a row past all checks."""
    defaults = {"name": name, "task": "llm.run_job", "kwargs": JOB, "interval": every}
    return PeriodicTask.objects.bulk_create([PeriodicTask(**{**defaults, **values})])[0]


BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "an unknown task": ({"task": "control.swep"}, "task", "There is no task"),
    "a task of Celery's own": ({"task": "celery.backend_cleanup"}, "task", "There is no task"),
    "arguments that are no JSON": ({"kwargs": "{a}"}, "kwargs", "This is not JSON"),
    "arguments of another shape": ({"args": "5"}, "args", "This is not a list"),
    "arguments that do not fit": ({"args": "[1]"}, "kwargs", "too many positional arguments"),
    "an argument that is missing": ({"kwargs": "{}"}, "kwargs", "missing a required"),
    "an unknown queue": ({"queue": "controll"}, "queue", "No worker serves the queue"),
    "an exchange": ({"exchange": "x"}, "exchange", "Leave this empty"),
    "headers that are no object": ({"headers": "[]"}, "headers", "This is not an object"),
    "no schedule": ({"interval": None}, "", "It has no schedule"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_row_is_named_with_its_fix(every: Any, what: str) -> None:
    values, field, words = BROKEN[what]
    ((found, sentence),) = broken.problems(add(every, **values))
    assert found == field
    assert words in sentence


def test_an_unreadable_schedule_is_named(every: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    row = add(every)
    row.interval.period = "years"
    ((_, sentence),) = broken.problems(row)
    assert "Its schedule cannot be read" in sentence

    def away(_: Any) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(PeriodicTask, "schedule", property(away))
    with pytest.raises(OperationalError):
        broken.problems(row)


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_row_is_skipped_with_an_alert(every: Any, what: str) -> None:
    add(every, **BROKEN[what][0])
    add(every, name="Good")
    scheduler = QuietScheduler(app=app)  # type: ignore[no-untyped-call]
    assert set(scheduler.schedule) == {"Good"}
    alert = Alert.objects.get(kind=SCHEDULE_BROKEN)
    assert alert.subject == "Bad"
    assert BROKEN[what][2] in alert.summary
    assert PeriodicTask.objects.get(name="Bad").enabled, "beat does not disable it silently"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE django_celery_beat_crontabschedule SET minute = '99'",
        "UPDATE django_celery_beat_crontabschedule SET timezone = 'Mars/Olympus'",
        "UPDATE django_celery_beat_intervalschedule SET every = 0",
        "UPDATE django_celery_beat_intervalschedule SET period = 'microseconds'",
        "UPDATE django_celery_beat_intervalschedule SET period = 'years'",
    ],
)
def test_an_unreadable_schedule_breaks_only_its_rows(every: Any, statement: str) -> None:
    add(every, name="by interval")
    add(None, name="by crontab", crontab=CrontabSchedule.objects.create())
    with connection.cursor() as cursor:
        cursor.execute(statement)
    good, bad = "by interval", "by crontab"
    if "interval" in statement:
        good, bad = bad, good
    scheduler = QuietScheduler(app=app)  # type: ignore[no-untyped-call]
    assert set(scheduler.schedule) == {good}
    assert Alert.objects.get(kind=SCHEDULE_BROKEN).subject == bad


def test_the_alert_names_each_problem_of_a_row(every: Any) -> None:
    row = add(every, task="control.swep", queue="controll", headers="[]")
    QuietScheduler(app=app).all_as_schedule()  # type: ignore[no-untyped-call]
    sentences = " ".join(sentence for _, sentence in broken.problems(row))
    assert len(sentences) > scrubbing.LONGEST_OURS
    text = f"The row 'Bad' of the schedule is not sent: {sentences} Fix it in admin"
    assert Alert.objects.get(kind=SCHEDULE_BROKEN).summary.startswith(text)


def test_the_alert_ends_with_its_cause(every: Any) -> None:
    rows = [add(every, name=name, queue="x") for name in ("a", "b")]
    scheduler = QuietScheduler(app=app)  # type: ignore[no-untyped-call]
    scheduler.all_as_schedule()
    assert {alert.subject for alert in alerts.still_open()} == {"a", "b"}
    rows[0].queue = "control"
    rows[0].save()
    rows[1].enabled = False
    rows[1].save()
    scheduler.all_as_schedule()
    assert alerts.still_open() == []


def test_beat_goes_on_ticking_with_a_broken_row(every: Any) -> None:
    add(every, headers="[]")
    good = add(every, name="Good")
    PeriodicTask.objects.filter(pk=good.pk).update(last_run_at="2026-01-01T00:00:00Z")
    scheduler = QuietScheduler(app=app)  # type: ignore[no-untyped-call]
    for _ in range(3):
        scheduler.tick()
    assert "Good" in scheduler.sent


def test_the_schedule_of_the_code_has_no_problem(schedule: dict[str, Any]) -> None:
    assert [problem for row in schedule.values() for problem in broken.problems(row)] == []


def test_an_ignored_argument_does_not_break_a_row(every: Any) -> None:
    """During a deploy a task receives arguments of an older or newer schedule."""
    row = add(every, task="control.sweep", kwargs=json.dumps({"dry_run": True}))
    assert broken.problems(row) == []
    assert broken.ignored(row) == ["dry_run"]
