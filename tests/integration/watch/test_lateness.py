"""A check that is late is an alert: by the database's clock, with any watcher."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery.schedules import crontab
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models.functions import Now
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from aifeature.models import Alert, CheckRun, Watch
from aifeature.services.alerting import check_runs
from aifeature.services.alerting.check_runs import Found
from aifeature.services.dispatch import recovery
from aifeature.services.dispatch.dispatcher import Dispatcher
from aifeature.services.dispatch.worker_agent import WorkerAgent
from aifeature.services.privacy import retention
from aifeature.services.watch import EVERY_S, STAND_IN_S, broken, gaps, protected, watcher
from aifeature.services.watch import schedule as schedule_of_beat
from project.celery import app
from tests.integration.watch.conftest import age_watch, ran, worker

pytestmark = pytest.mark.django_db

TASKS = sorted(gaps.sent_every())
ALLOWED_S = {
    "control.sweep": 65,
    "control.provider": 75,
    "control.budgets": 240,
    "control.controls": 240,
    "control.cost_spike": 240,
    "control.reconcile": 1200,
    "control.retention": 90_000,
}
"""Three intervals after a run was due, a minute at least; an hour for the daily one."""


def look() -> None:
    assert watcher.look(after_s=0)


def late() -> set[str]:
    open_ones = Alert.objects.filter(kind="check_late", closed_at=None)
    return set(open_ones.values_list("subject", flat=True))


def age_gap(seconds: float) -> None:
    """Nobody has looked for so long."""
    Watch.objects.filter(name="turn").update(seen_at=Now() - timedelta(seconds=seconds))


@pytest.fixture
def watched(schedule: dict[str, Any]) -> dict[str, Any]:
    """Watched for longer than any check may take; every check has just run, every worker lives."""
    look()
    age_watch(10 * gaps.DAY_S)
    for task in TASKS:
        ran(task, 0)
    for queue in ("llm", "evals", "control"):
        worker(queue)
    look()
    assert late() == set()
    return schedule


def test_every_check_of_the_schedule_has_its_bound() -> None:
    allowed = {
        task: gaps.allowed_s(gaps.run_every(task, gap)) for task, gap in gaps.sent_every().items()
    }
    assert allowed == ALLOWED_S
    assert set(TASKS) >= protected.PROTECTED


@pytest.mark.parametrize("task", TASKS)
def test_a_check_is_late_after_its_bound_and_not_before(watched: dict[str, Any], task: str) -> None:
    ran(task, ALLOWED_S[task] - 30)
    look()
    assert late() == set()
    ran(task, ALLOWED_S[task] + 1)
    look()
    assert late() == {task}
    ran(task, 0)
    look()
    assert late() == set()
    assert Alert.objects.get(kind="check_late").closed_at is not None


def test_a_new_installation_begins_without_an_alert(schedule: dict[str, Any]) -> None:
    look()
    assert late() == set()
    age_watch(64)
    look()
    assert late() == set()
    age_watch(2)
    look()
    assert late() == {"control.sweep"}
    assert "has not run to its end yet" in Alert.objects.get(subject="control.sweep").summary


def test_a_check_that_a_release_brings_is_not_late_at_once(watched: dict[str, Any]) -> None:
    CheckRun.objects.filter(name="control.budgets").delete()
    Watch.objects.filter(name="check control.budgets").delete()
    look()
    assert late() == set()


def test_a_system_that_was_down_for_a_night_begins_without_an_alert(
    watched: dict[str, Any],
) -> None:
    for task in TASKS:
        ran(task, 40_000)
    age_gap(61)
    look()
    assert late() == set()


def test_a_control_worker_that_crashes_and_comes_back_hides_nothing(
    watched: dict[str, Any],
) -> None:
    ran("control.budgets", 300)
    age_gap(55)
    look()
    assert late() == {"control.budgets"}


def test_a_check_that_keeps_breaking_off_is_late(watched: dict[str, Any]) -> None:
    def look_and_break() -> Found:
        raise ZeroDivisionError

    ran("control.budgets", 241)
    with pytest.raises(ZeroDivisionError):
        check_runs.run("control.budgets", look_and_break)
    look()
    assert late() == {"control.budgets"}
    summary = Alert.objects.get(subject="control.budgets").summary
    assert "It broke off: ZeroDivisionError." in summary


def test_a_disabled_row_makes_a_check_no_less_late(watched: dict[str, Any], ada: User) -> None:
    row = watched["control.budgets"]
    row.enabled = False
    schedule_of_beat.save(row, reason="A test.", user_id=ada.pk)
    ran("control.budgets", 241)
    look()
    assert late() == {"control.budgets"}
    assert "No enabled row" in Alert.objects.get(subject="control.budgets").summary


def test_a_row_that_was_slowed_down_makes_a_check_no_less_late(
    watched: dict[str, Any], ada: User
) -> None:
    row = watched["control.budgets"]
    row.interval = IntervalSchedule.objects.create(every=1, period="days")
    schedule_of_beat.save(row, reason="A test.", user_id=ada.pk)
    ran("control.budgets", 241)
    look()
    assert late() == {"control.budgets"}
    assert "every 86400 seconds" in Alert.objects.get(subject="control.budgets").summary


def test_a_row_that_sends_more_often_is_late_sooner(watched: dict[str, Any]) -> None:
    often = IntervalSchedule.objects.create(every=10, period="seconds")
    PeriodicTask.objects.create(name="Often", task="control.budgets", interval=often)
    ran("control.budgets", 71)
    look()
    assert late() == {"control.budgets"}


def test_a_check_that_runs_once_a_minute_may_be_sent_more_often(watched: dict[str, Any]) -> None:
    often = IntervalSchedule.objects.create(every=5, period="seconds")
    PeriodicTask.objects.create(name="Often", task="control.cost_spike", interval=often)
    ran("control.cost_spike", 200)
    look()
    assert late() == set()


@pytest.mark.parametrize("task", TASKS)
def test_every_scheduled_task_writes_down_that_it_ran(task: str) -> None:
    """A new one that does not would be late for ever: let it run through `checks.run`."""
    assert task in broken.task_names()
    app.tasks[task].run()
    assert CheckRun.objects.get(name=task).completed_at is not None


def test_a_tick_that_found_its_slot_taken_does_not_count_as_a_run() -> None:
    assert retention.run_daily() == 0
    first = CheckRun.objects.get(name="control.retention").completed_at
    assert retention.run_daily() == 0
    assert CheckRun.objects.get(name="control.retention").completed_at == first


def test_what_the_dispatcher_sweeps_does_not_hide_that_beat_is_gone() -> None:
    recovery.sweep()
    assert not CheckRun.objects.exists()


def test_the_dispatchers_thread_looks_whatever_becomes_of_its_turn(
    watched: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran("control.budgets", 241)
    age_gap(EVERY_S)
    dispatcher = Dispatcher()

    def fails() -> float:
        raise ZeroDivisionError

    monkeypatch.setattr("aifeature.services.dispatch.dispatcher.turn", fails)
    dispatcher._loop._turn_or_log()
    assert late() == {"control.budgets"}
    assert Alert.objects.get().notified_at is not None


@pytest.mark.parametrize(("silence_s", "stands_in"), [(STAND_IN_S - 5, False), (STAND_IN_S, True)])
def test_an_llm_worker_looks_and_tells_once_control_is_gone(
    watched: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    silence_s: float,
    stands_in: bool,
) -> None:
    ran("control.budgets", 241)
    age_gap(silence_s)
    feeder = WorkerAgent()
    monkeypatch.setattr(feeder, "turn", lambda: None)
    feeder._loop._turn_or_log()
    assert late() == ({"control.budgets"} if stands_in else set())
    assert Alert.objects.filter(notified_at__isnull=False).exists() is stands_in


def test_a_defect_in_one_kind_hides_neither_the_other_nor_what_is_to_be_told(
    watched: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> list[Any]:
        raise ZeroDivisionError

    finders = {"no_worker": fails, **{k: v for k, v in watcher.FINDERS.items() if k != "no_worker"}}
    monkeypatch.setattr(watcher, "FINDERS", finders)
    ran("control.budgets", 241)
    look()
    assert late() == {"control.budgets"}
    assert Alert.objects.get().notified_at is not None


@pytest.mark.parametrize("error", [OperationalError("away"), ZeroDivisionError()], ids=repr)
def test_the_thread_that_watches_outlives_what_goes_wrong(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """It dispatches jobs, too."""

    def fails(**_: Any) -> bool:
        raise error

    monkeypatch.setattr(watcher, "look", fails)
    assert not watcher.Watcher(after_s=0).look()


def test_a_row_whose_schedule_cannot_be_read_hides_no_check_that_is_late(
    watched: dict[str, Any],
) -> None:
    odd = IntervalSchedule.objects.create(every=10, period="years")
    row = PeriodicTask(name="Odd", task="control.budgets", interval=odd)
    PeriodicTask.objects.bulk_create([row])  # past the library's own checks
    ran("control.budgets", 241)
    look()
    assert late() == {"control.budgets"}


def test_of_two_watchers_one_looks() -> None:
    assert watcher.look(after_s=EVERY_S)
    assert not watcher.look(after_s=EVERY_S)


def test_a_watcher_asks_the_database_no_more_often_than_it_has_to() -> None:
    now = [0.0]
    one = watcher.Watcher(after_s=0, clock=lambda: now[0])
    assert one.look()
    now[0] += EVERY_S - 0.1
    assert not one.look()
    now[0] += 0.1
    assert one.look()


@pytest.mark.parametrize(
    ("when", "seconds"),
    [
        (20.0, 20),
        (crontab(minute="20"), 3600),
        (crontab(minute="*/15", hour="8-17"), 51_300),
        (crontab(minute="0", hour="3"), 86_400),
        (crontab(minute="0", hour="3", day_of_week="1"), 7 * 86_400),
        (crontab(minute="0", hour="3", day_of_month="1"), 31 * 86_400),
        ("no schedule", None),
    ],
    ids=str,
)
def test_the_gap_of_a_schedule_is_its_longest(when: Any, seconds: float | None) -> None:
    assert gaps.gap_s(when) == seconds


def test_of_two_entries_for_one_check_the_more_frequent_counts(settings: Any) -> None:
    for schedules in ((60.0, 300.0), (300.0, 60.0)):
        entries = enumerate({"task": "control.budgets", "schedule": each} for each in schedules)
        settings.CELERY_BEAT_SCHEDULE = {f"Look {number}": entry for number, entry in entries}
        assert gaps.sent_every() == {"control.budgets": 60}


def test_a_weekly_check_is_late_by_an_hour() -> None:
    assert gaps.allowed_s(7 * 86_400) == 7 * 86_400 + 3600
