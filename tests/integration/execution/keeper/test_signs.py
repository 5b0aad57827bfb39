"""Each worker process writes its presence."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.db.models.functions import Now

from aifeature.models import Job, Worker, heartbeats
from aifeature.services.execution import lease
from aifeature.services.execution.lease import LeaseKeeper
from tests.integration.clock import Clock
from tests.integration.execution.conftest import wait_for
from tests.integration.execution.keeper.conftest import TABLE, WORKER, locked
from tests.integration.job_rows import MakeJob, claim
from workers.inference import Cancel

pytestmark = pytest.mark.usefixtures("committed")


def signs() -> list[tuple[str, str, int]]:
    return sorted(Worker.objects.values_list("name", "queue", "slots"))


@pytest.mark.parametrize("queue", ["llm", "evals", "control"])
def test_a_process_shows_that_it_lives_until_it_leaves(beating: LeaseKeeper, queue: str) -> None:
    beating.appear(WORKER, queue=queue, slots=4)
    wait_for(lambda: signs() == [(WORKER, queue, 4)])
    first = Worker.objects.get().seen_at
    wait_for(lambda: Worker.objects.get().seen_at > first)
    beating.leave()
    assert signs() == [(WORKER, queue, 0)]


def test_a_stopping_process_lives_and_offers_no_slots(keeper: LeaseKeeper, clock: Clock) -> None:
    keeper.appear(WORKER, queue="llm", slots=4)
    keeper.beat()
    keeper.offer_none()
    keeper.beat()
    assert signs() == [(WORKER, "llm", 0)]
    before = Worker.objects.get().seen_at
    clock.now += lease.PRESENCE_S
    keeper.beat()
    assert Worker.objects.get().seen_at > before


def test_a_process_that_does_nothing_keeps_no_connection(beating: LeaseKeeper) -> None:
    with beating.hold_call("summarize", Cancel()):
        wait_for(lambda: beating._session.is_open)
    wait_for(lambda: not beating._session.is_open)


def test_a_worker_is_forgotten_after_an_hour(keeper: LeaseKeeper) -> None:
    for minutes in (55, 65):
        seen = Now() - timedelta(minutes=minutes)
        Worker.objects.create(name=f"{minutes} min ago", queue="llm", slots=4, seen_at=seen)
    keeper.appear(WORKER, queue="llm", slots=4)
    keeper.beat()
    assert {name for name, _, _ in signs()} == {"55 min ago", WORKER}


def test_a_locked_old_row_delays_no_presence(keeper: LeaseKeeper) -> None:
    seen = Now() - timedelta(hours=2)
    Worker.objects.create(name="long ago", queue="llm", slots=4, seen_at=seen)
    keeper.appear(WORKER, queue="llm", slots=4)
    with locked("SELECT 1 FROM aifeature_worker FOR UPDATE"):
        keeper.beat()
    assert {name for name, _, _ in signs()} == {"long ago", WORKER}


def test_the_session_of_a_keeper_has_time_limits(keeper: LeaseKeeper) -> None:
    keeper.appear(WORKER, queue="llm", slots=4)
    keeper.beat()
    session = keeper._session._connection
    assert session is not None
    limits = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    found = [session.execute("SELECT current_setting(%s)", [name]).fetchone() for name in limits]
    assert found == [("100ms",), ("1s",), ("10s",)]


def test_a_presence_is_written_once_a_second(keeper: LeaseKeeper, clock: Clock) -> None:
    keeper.appear(WORKER, queue="llm", slots=4)
    keeper.beat()
    first = Worker.objects.get().seen_at
    clock.now += lease.PRESENCE_S / 2
    keeper.beat()
    assert Worker.objects.get().seen_at == first
    clock.now += lease.PRESENCE_S / 2
    keeper.beat()
    assert Worker.objects.get().seen_at > first


def test_steps_are_independent_of_a_defect(
    keeper: LeaseKeeper, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(heartbeats, "paused", defect)
    keeper.appear(WORKER, queue="llm", slots=4)
    with keeper.hold(claim(make_job(), worker=WORKER), Cancel()):
        Job.objects.update(lease_until=Now() + timedelta(seconds=1))
        keeper.beat()
    assert signs() == [(WORKER, "llm", 4)]
    assert Job.objects.filter(lease_until__gt=Now() + timedelta(seconds=5)).exists()


def test_a_repeated_failure_is_logged_once(
    keeper: LeaseKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    keeper.appear(WORKER, queue="llm", slots=4)
    with caplog.at_level(logging.INFO, logger="aifeature.services.execution.lease"):
        with locked(TABLE.format("worker")):
            for _ in range(3):
                keeper.beat()
        keeper.beat()
    begun, over = (record.getMessage() for record in caplog.records)
    assert begun.startswith("keeper: cannot write heartbeats, trying again:")
    assert over == "keeper: can write heartbeats again"


def test_an_outage_costs_one_try_in_a_beat(
    keeper: LeaseKeeper, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each further step would wait for a connection again."""
    tries: list[str] = []

    def away(**_: str) -> None:
        tries.append("once")
        raise psycopg.OperationalError("connection refused")

    keeper.appear(WORKER, queue="llm", slots=4)
    with keeper.hold(claim(make_job(), worker=WORKER), Cancel()):
        monkeypatch.setattr(connections["default"], "connect_apart", away)
        keeper.beat()
    assert tries == ["once"]
