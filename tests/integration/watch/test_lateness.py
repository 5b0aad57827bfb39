"""A late check is an alert, by the clock of the database and with any watcher."""

from __future__ import annotations

from collections.abc import Callable
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
from aifeature.services.watch.queues import QUEUES
from project.celery import app
from tests.integration.watch.conftest import age_watch, ran, stop_clock, worker

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

TASKS = sorted(gaps.sent_every())
ALLOWED_S = {
    "control.alerts": 70,
    "control.sweep": 65,
    "control.provider": 75,
    "control.budgets": 240,
    "control.controls": 240,
    "control.cost_spike": 240,
    "control.numbers": 240,
    "control.reconcile": 1200,
    "control.retention": 90_000,
    "control.rollout": 240,
    "evals.drive": 240,
    "shadows.drive": 240,
    "evals.weekly": 590_400,
}
"""Seconds: three intervals after a run was due, at least a minute; an hour if daily or weekly."""


def watch() -> None:
    assert watcher.check(after_s=0)


def late() -> set[str]:
    open_ones = Alert.objects.filter(kind="check_late", closed_at=None)
    return set(open_ones.values_list("subject", flat=True))


def age_gap(seconds: float) -> None:
    """Let the last turn of a watcher be this long ago."""
    Watch.objects.filter(name="turn").update(seen_at=Now() - timedelta(seconds=seconds))


@pytest.fixture
def watched(schedule: dict[str, Any]) -> dict[str, Any]:
    """Each check has just run, each worker is present, and the watching is older than any bound."""
    watch()
    age_watch(10 * gaps.DAY_S)
    for task in TASKS:
        ran(task, 0)
    for queue in QUEUES:
        worker(queue)
    watch()
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
    stop_clock()
    ran(task, ALLOWED_S[task])
    watch()
    assert late() == set()
    ran(task, ALLOWED_S[task] + 1)
    watch()
    assert late() == {task}
    ran(task, 0)
    watch()
    assert late() == set()
    assert Alert.objects.get(kind="check_late").closed_at is not None


def test_a_new_installation_begins_without_an_alert(schedule: dict[str, Any]) -> None:
    watch()
    assert late() == set()
    stop_clock()
    Watch.objects.update(since=Now())
    age_watch(ALLOWED_S["control.sweep"])
    watch()
    assert late() == set()
    age_watch(1)
    watch()
    assert late() == {"control.sweep"}
    assert "has not run to its end yet" in Alert.objects.get(subject="control.sweep").summary


def test_a_new_check_is_not_late_immediately(watched: dict[str, Any]) -> None:
    CheckRun.objects.filter(name="control.budgets").delete()
    Watch.objects.filter(name="check control.budgets").delete()
    watch()
    assert late() == set()


@pytest.mark.parametrize(("gap_s", "is_late"), [(61, False), (60, True)])
def test_a_gap_of_the_watchers_excuses_late_checks_after_a_minute(
    watched: dict[str, Any], gap_s: float, is_late: bool
) -> None:
    stop_clock()
    for task in TASKS:
        ran(task, 9 * gaps.DAY_S)
    age_gap(gap_s)
    watch()
    assert late() == (set(TASKS) if is_late else set())


def test_a_check_that_keeps_breaking_off_is_late(watched: dict[str, Any]) -> None:
    def break_off() -> Found:
        raise ZeroDivisionError

    ran("control.budgets", 241)
    with pytest.raises(ZeroDivisionError):
        check_runs.run("control.budgets", break_off)
    watch()
    assert late() == {"control.budgets"}
    summary = Alert.objects.get(subject="control.budgets").summary
    assert "It broke off: ZeroDivisionError." in summary


def disable(row: Any) -> None:
    row.enabled = False


def slow_down(row: Any) -> None:
    row.interval = IntervalSchedule.objects.create(every=1, period="days")


@pytest.mark.parametrize(
    ("edit", "words"), [(disable, "No enabled row"), (slow_down, "every 86400 seconds")]
)
def test_an_edited_row_makes_a_check_no_less_late(
    watched: dict[str, Any], ada: User, edit: Callable[[Any], None], words: str
) -> None:
    row = watched["control.budgets"]
    edit(row)
    schedule_of_beat.save(row, reason="A test.", user_id=ada.pk)
    ran("control.budgets", 241)
    watch()
    assert late() == {"control.budgets"}
    assert words in Alert.objects.get(subject="control.budgets").summary


@pytest.mark.parametrize(
    ("task", "every_s", "ago_s", "is_late"),
    [("control.budgets", 10, 71, True), ("control.cost_spike", 5, 240, False)],
    ids=["a check", "a check that runs once a minute"],
)
def test_a_check_that_is_sent_more_often_is_late_sooner(
    watched: dict[str, Any], task: str, every_s: int, ago_s: float, is_late: bool
) -> None:
    often = IntervalSchedule.objects.create(every=every_s, period="seconds")
    PeriodicTask.objects.create(name="Often", task=task, interval=often)
    stop_clock()
    ran(task, ago_s)
    watch()
    assert late() == ({task} if is_late else set())


@pytest.mark.parametrize("task", TASKS)
def test_every_scheduled_task_records_its_run(task: str) -> None:
    """A task that does not run through `check_runs.run` would always be late."""
    assert task in broken.task_names()
    app.tasks[task].run()
    assert CheckRun.objects.get(name=task).completed_at is not None


def test_a_tick_that_found_its_slot_taken_does_not_count_as_a_run() -> None:
    assert retention.run_daily() == 0
    first = CheckRun.objects.get(name="control.retention").completed_at
    assert retention.run_daily() == 0
    assert CheckRun.objects.get(name="control.retention").completed_at == first


def test_a_sweep_of_the_dispatcher_is_no_run_of_the_check() -> None:
    recovery.sweep()
    assert not CheckRun.objects.exists()


def test_a_failed_turn_hides_no_late_check(
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


@pytest.mark.parametrize(
    ("silence_s", "stands_in"), [(STAND_IN_S - 0.1, False), (STAND_IN_S, True)]
)
def test_an_llm_worker_replaces_the_watcher(
    watched: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    silence_s: float,
    stands_in: bool,
) -> None:
    stop_clock()
    ran("control.budgets", 241)
    age_gap(silence_s)
    agent = WorkerAgent()
    monkeypatch.setattr(agent, "turn", lambda: None)
    agent._loop._turn_or_log()
    assert late() == ({"control.budgets"} if stands_in else set())
    assert Alert.objects.filter(notified_at__isnull=False).exists() is stands_in


def test_a_stopping_worker_does_not_watch(
    agent: WorkerAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "turn", lambda: None)
    monkeypatch.setattr(agent._watcher, "check", lambda: pytest.fail("it watches"))
    agent._turn_and_watch()


def test_a_defect_in_one_finder_hides_no_other(
    watched: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> list[Any]:
        raise ZeroDivisionError

    finders = {"no_worker": fails, **{k: v for k, v in watcher.FINDERS.items() if k != "no_worker"}}
    monkeypatch.setattr(watcher, "FINDERS", finders)
    ran("control.budgets", 241)
    watch()
    assert late() == {"control.budgets"}
    assert Alert.objects.get().notified_at is not None


@pytest.mark.parametrize("error", [OperationalError("away"), ZeroDivisionError()], ids=repr)
def test_a_watcher_survives_errors(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(**_: Any) -> bool:
        raise error

    monkeypatch.setattr(watcher, "check", fails)
    assert not watcher.Watcher(after_s=0).check()


def test_an_unreadable_schedule_hides_no_late_check(watched: dict[str, Any]) -> None:
    odd = IntervalSchedule.objects.create(every=10, period="years")
    row = PeriodicTask(name="Odd", task="control.budgets", interval=odd)
    PeriodicTask.objects.bulk_create([row])  # without the checks of the library
    ran("control.budgets", 241)
    watch()
    assert late() == {"control.budgets"}


def test_one_of_two_watchers_checks() -> None:
    assert watcher.check(after_s=EVERY_S)
    assert not watcher.check(after_s=EVERY_S)


def test_a_watcher_queries_once_in_its_interval() -> None:
    now = [0.0]
    one = watcher.Watcher(after_s=0, clock=lambda: now[0])
    assert one.check()
    now[0] += EVERY_S - 0.1
    assert not one.check()
    now[0] += 0.1
    assert one.check()


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
