"""Beat is asked to stop while it reads or writes its schedule, or cannot read it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
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

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def handlers() -> Iterator[None]:
    """Signals are handled as before when the test is over."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def scheduler(handlers: None) -> Scheduler:
    return Scheduler(app=app)  # type: ignore[no-untyped-call]


def of_beat(monkeypatch: pytest.MonkeyPatch, sleep: Callable[[float], None]) -> None:
    """How beat sleeps, and nobody else: other threads of this process sleep as well."""
    monkeypatch.setattr(beat, "time", SimpleNamespace(sleep=sleep))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("doing", ["tick", "sync"])
def test_what_beat_does_is_done_before_it_stops(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, doing: str, signum: signal.Signals
) -> None:
    done = []

    def interrupted(*_: Any, **__: Any) -> float:
        # The connection's lock is what a signal in the middle of a statement finds taken.
        with connection.connection.lock:
            os.kill(os.getpid(), signum)
        done.append(PeriodicTask.objects.count())
        return 5.0

    connection.ensure_connection()
    monkeypatch.setattr(DatabaseScheduler, doing, interrupted)
    with pytest.raises(SystemExit):
        getattr(scheduler, doing)()
    assert done == [len(app.conf.beat_schedule)]


def test_a_sleeping_beat_stops_at_once(scheduler: Scheduler) -> None:
    with pytest.raises(SystemExit):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_while_the_schedule_is_loaded_stops_beat_when_it_is(
    handlers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Scheduler) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        loaded.append(PeriodicTask.objects.count())

    loaded: list[int] = []
    monkeypatch.setattr(DatabaseScheduler, "setup_schedule", interrupted)
    with pytest.raises(SystemExit):
        Scheduler(app=app)  # type: ignore[no-untyped-call]
    assert len(loaded) == 1


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_beat_that_starts_while_the_database_is_away_waits_for_it(
    handlers: None, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
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
    scheduler = Scheduler(app=app)  # type: ignore[no-untyped-call]
    assert len(tried) == 3
    assert slept == [beat.AGAIN_S] * 2
    assert app.conf.beat_schedule.keys() <= scheduler.schedule.keys()


def test_beat_that_waits_for_the_database_stops_at_once(
    handlers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Scheduler) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(DatabaseScheduler, "setup_schedule", away)
    of_beat(monkeypatch, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit):
        Scheduler(app=app)  # type: ignore[no-untyped-call]


def test_beat_that_is_asked_to_stop_while_the_database_fails_does_not_try_again(
    handlers: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Scheduler) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise OperationalError("connection refused")

    def tries_again(_: float) -> None:
        raise AssertionError("the signal was lost")

    monkeypatch.setattr(DatabaseScheduler, "setup_schedule", away)
    of_beat(monkeypatch, tries_again)
    with pytest.raises(SystemExit):
        Scheduler(app=app)  # type: ignore[no-untyped-call]


def test_the_last_sync_is_not_cut_short_by_an_impatient_supervisor(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
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
def test_a_broker_or_database_that_refuses_ends_no_beat_and_costs_no_line(
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


def test_a_broken_row_keeps_no_other_from_being_sent_while_no_alert_can_be_written(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OperationalError("cannot execute INSERT in a read-only transaction")

    every = PeriodicTask.objects.filter(interval__isnull=False)[0].interval
    broken = PeriodicTask(name="Bad", task="llm.run_job", interval=every, queue="nowhere")
    PeriodicTask.objects.bulk_create([broken])
    monkeypatch.setattr(alerts, "begin", refused)
    assert scheduler.all_as_schedule().keys() == app.conf.beat_schedule.keys()
