"""A tick that is sent twice runs once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.models.functions import Now

from aifeature.models import TickSlot
from aifeature.services.ticks import periods
from aifeature.services.ticks.periods import DAILY, WEEKLY
from tests.integration.conftest import wait_until_blocked
from tests.integration.job_rows import database_time

NOW = periods.Period(timedelta(weeks=1), first=datetime.now(UTC) - timedelta(days=3))
"""Slots of a week, none of which ends while the tests run."""


@pytest.mark.parametrize(
    ("period", "moment", "began"),
    [
        (DAILY, "2026-11-22T00:00:00", "2026-11-22T00:00:00"),
        (DAILY, "2026-11-22T23:59:59.999999", "2026-11-22T00:00:00"),
        (WEEKLY, "2026-11-22T23:59:59", "2026-11-16T00:00:00"),  # a Sunday; from Monday on
        (WEEKLY, "2026-11-23T00:00:00", "2026-11-23T00:00:00"),
        (periods.every(300), "2026-11-22T10:04:59", "2026-11-22T10:00:00"),
        (periods.every(300), "2026-11-22T10:05:00", "2026-11-22T10:05:00"),
        (periods.every(7), "1970-01-01T00:00:13", "1970-01-01T00:00:07"),
        (DAILY, "1969-12-31T12:00:00", "1969-12-31T00:00:00"),
    ],
)
def test_a_slot_begins_at_a_multiple(period: periods.Period, moment: str, began: str) -> None:
    def utc(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert period.slot(utc(moment)) == utc(began)


@pytest.mark.parametrize("seconds", [0, -1, 61 * 86_400])
def test_a_slot_without_length_or_longer_than_the_memory_is_refused(seconds: int) -> None:
    with pytest.raises(ValueError, match="a slot of"):
        periods.every(seconds)


def test_a_slot_is_taken_once_and_by_task(db: None) -> None:
    assert periods.claim("a", NOW)
    assert not periods.claim("a", NOW)
    assert periods.claim("b", NOW), "another task has slots of its own"


def test_the_next_slot_is_free_again(db: None) -> None:
    assert periods.claim("a", DAILY)
    row = TickSlot.objects.get()
    TickSlot.objects.update(slot=row.slot - timedelta(days=1))
    assert periods.claim("a", DAILY)


def test_the_slot_is_that_of_the_databases_clock(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose clock jumped must not take tomorrow's slot."""

    def midnight() -> datetime:
        return database_time().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    monkeypatch.setattr("time.time", lambda: 0.0)
    before = midnight()
    assert periods.claim("a", DAILY)
    assert TickSlot.objects.get().slot in {before, midnight()}


def test_slots_are_forgotten_only_when_no_period_can_need_them(db: None) -> None:
    for name, days in (("old", 61), ("kept", 59)):
        TickSlot.objects.create(task=name, slot=Now(), claimed_at=Now() - timedelta(days=days))
    assert periods.prune() == 1
    assert TickSlot.objects.get().task == "kept"


@pytest.mark.usefixtures("committed")
def test_of_many_connections_at_once_one_wins() -> None:
    start = threading.Barrier(16)

    def race(_: int) -> bool:
        try:
            connection.ensure_connection()
            start.wait(60)
            return periods.claim("race", NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(race, range(16)))
    assert sum(outcomes) == 1
    assert TickSlot.objects.count() == 1


@pytest.fixture
def rival(committed: None) -> Iterator[psycopg.Connection[Any]]:
    """Another process that has taken the present slot and not committed yet."""
    with psycopg.connect(**connection.get_connection_params()) as other:
        slot = NOW.slot(database_time().astimezone(UTC))
        other.execute("INSERT INTO aifeature_tickslot (task, slot) VALUES ('a', %s)", [slot])
        yield other


@pytest.mark.parametrize("commits", [True, False])
def test_a_second_claim_waits_for_the_first(rival: psycopg.Connection[Any], commits: bool) -> None:
    def claim() -> bool:
        try:
            return periods.claim("a", NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        second = thread.submit(claim)
        wait_until_blocked()
        assert not second.done()
        rival.commit() if commits else rival.rollback()
        assert second.result(60) is not commits
