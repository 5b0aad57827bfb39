"""Beat stops, and survives outages, while it reads or writes its schedule."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler
from redis.exceptions import AuthenticationError, ResponseError

from aifeature.services.alerting import alerts
from project import beat
from project.beat import Scheduler
from project.celery import app

pytestmark = pytest.mark.usefixtures("committed", "handlers")


def start() -> Scheduler:
    return Scheduler(app=app)  # type: ignore[no-untyped-call]


@pytest.fixture
def scheduler(handlers: None) -> Scheduler:
    return start()


def of_beat(monkeypatch: pytest.MonkeyPatch, sleep: Callable[[float], None]) -> None:
    """Replace the sleep of beat, without that of other threads."""
    monkeypatch.setattr(beat, "time", SimpleNamespace(sleep=sleep))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("doing", ["tick", "sync"])
def test_beat_ends_its_work_before_it_stops(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, doing: str, signum: signal.Signals
) -> None:
    done = []

    def interrupted(*_: Any, **__: Any) -> float:
        # A signal during a statement finds the lock of the connection taken.
        with connection.connection.lock:
            os.kill(os.getpid(), signum)
        done.append(PeriodicTask.objects.count())
        return 5.0

    connection.ensure_connection()
    monkeypatch.setattr(DatabaseScheduler, doing, interrupted)
    with pytest.raises(SystemExit):
        getattr(scheduler, doing)()
    assert done == [len(app.conf.beat_schedule)]


def test_a_sleeping_beat_stops_immediately(scheduler: Scheduler) -> None:
    with pytest.raises(SystemExit):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_during_the_load_stops_beat_after(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Scheduler) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        loaded.append(PeriodicTask.objects.count())

    loaded: list[int] = []
    monkeypatch.setattr(DatabaseScheduler, "setup_schedule", interrupted)
    with pytest.raises(SystemExit):
        start()
    assert len(loaded) == 1


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_beat_waits_for_an_outage(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def away_twice(scheduler: Scheduler) -> None:
        tried.append(True)
        if len(tried) <= 2:
            scheduler._initial_read = False  # the library has tried to read
            raise error("connection refused")
        setup_schedule(scheduler)  # type: ignore[no-untyped-call]

    tried: list[bool] = []
    slept: list[float] = []
    setup_schedule = DatabaseScheduler.setup_schedule
    monkeypatch.setattr(DatabaseScheduler, "setup_schedule", away_twice)
    of_beat(monkeypatch, slept.append)
    scheduler = start()
    assert len(tried) == 3
    assert slept == [beat.AGAIN_S] * 2
    assert app.conf.beat_schedule.keys() <= scheduler.schedule.keys()


def test_beat_stops_while_it_waits_for_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Scheduler) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(DatabaseScheduler, "setup_schedule", away)
    of_beat(monkeypatch, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit):
        start()


def test_a_signal_during_an_outage_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Scheduler) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise OperationalError("connection refused")

    def tries_again(_: float) -> None:
        raise AssertionError("the signal was lost")

    monkeypatch.setattr(DatabaseScheduler, "setup_schedule", away)
    of_beat(monkeypatch, tries_again)
    with pytest.raises(SystemExit):
        start()


def test_the_last_sync_is_not_cut(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Scheduler) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        written.append(True)

    written: list[bool] = []
    with pytest.raises(SystemExit):
        scheduler.stop(signal.SIGTERM, None)
    monkeypatch.setattr(DatabaseScheduler, "sync", interrupted)
    scheduler.close()
    assert written == [True]


REFUSALS = [
    ResponseError("MISCONF Errors writing to the AOF file"),
    AuthenticationError("Authentication required.", status_code="NOAUTH"),
    ConnectionRefusedError("nothing listens"),
    OperationalError("cannot execute UPDATE in a read-only transaction"),
]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_a_refusing_store_ends_no_beat(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    sent: list[str] = []

    def refused(_: Scheduler) -> None:
        raise error

    for entry in scheduler.schedule.values():
        entry.last_run_at -= timedelta(days=1)
    with monkeypatch.context() as refusing:
        refusing.setattr(Scheduler, "_ensure_connected", refused)
        for _ in range(3):
            assert scheduler.tick() == beat.AGAIN_S
    monkeypatch.setattr(scheduler, "producer", None, raising=False)
    monkeypatch.setattr(
        scheduler, "apply_entry", lambda entry, producer=None: sent.append(entry.name)
    )
    while scheduler.tick() == 0:
        pass
    assert sorted(sent) == sorted(app.conf.beat_schedule)


def test_a_broken_row_delays_no_other(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OperationalError("cannot execute INSERT in a read-only transaction")

    every = PeriodicTask.objects.filter(interval__isnull=False)[0].interval
    broken = PeriodicTask(name="Bad", task="llm.run_job", interval=every, queue="nowhere")
    PeriodicTask.objects.bulk_create([broken])
    monkeypatch.setattr(alerts, "begin", refused)
    assert scheduler.all_as_schedule().keys() == app.conf.beat_schedule.keys()
