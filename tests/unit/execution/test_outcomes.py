"""Storing how a run ended: an outage is waited out while the lease may last."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, InterfaceError, OperationalError
from psycopg.errors import ProgramLimitExceeded

from aifeature.models import transitions
from aifeature.models.transitions import Claimed, FencedError
from aifeature.reasons import FailureCode
from aifeature.services.execution import outcomes
from aifeature.services.execution.outcomes import Failed

CLAIMED = Claimed(uuid.uuid4(), 1, "summarize", 1, {}, 0, 0, 60.0, False, "")


def locked() -> OperationalError:
    """As Django raises it when a lock was in the way."""
    error = OperationalError("canceling statement due to lock timeout")
    error.__cause__ = psycopg.errors.LockNotAvailable()
    return error


class Database:
    """Gives these answers to each try, the last one for ever; its clock moves by sleeping."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Exception | None) -> None:
        self.answers = answers
        self.tries = 0
        self.now = 0.0
        monkeypatch.setattr(transitions, "finish", self.finish)

    def finish(self, *_: Any, **__: Any) -> None:
        answer = self.answers[min(self.tries, len(self.answers) - 1)]
        self.tries += 1
        if answer is not None:
            raise answer

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def record(self, *, locked_for_s: float = 0.0) -> None:
        outcomes.record(
            CLAIMED,
            Failed(FailureCode.MAX_TRIES_EXCEEDED),
            for_s=15,
            locked_for_s=locked_for_s,
            clock=lambda: self.now,
            sleep=self.sleep,
        )


def test_an_end_is_stored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(monkeypatch, None)
    database.record()
    assert database.tries == 1


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
def test_an_outage_is_waited_out(
    monkeypatch: pytest.MonkeyPatch, kind: type[DatabaseError]
) -> None:
    away = kind("away")
    database = Database(monkeypatch, away, away, None)
    database.record()
    assert database.tries == 3
    assert database.now == pytest.approx(2 * outcomes.RETRY_S)


def test_a_long_outage_is_left_to_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(monkeypatch, OperationalError("away"))
    with pytest.raises(OperationalError):
        database.record()
    assert database.now == pytest.approx(15, abs=1)


def test_a_lock_is_waited_out_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database answers, so the lease is extended and no worker takes over a paid answer."""
    database = Database(monkeypatch, locked())
    with pytest.raises(OperationalError):
        database.record(locked_for_s=200)
    assert database.now == pytest.approx(200, abs=1)


def test_a_lock_is_waited_out_no_shorter_than_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(monkeypatch, locked())
    with pytest.raises(OperationalError):
        database.record(locked_for_s=2)
    assert database.now == pytest.approx(15, abs=1)


def test_an_outage_after_a_lock_has_all_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    away = OperationalError("away")
    database = Database(monkeypatch, *[locked()] * 100, *[away] * 50, None)
    database.record(locked_for_s=200)
    assert database.tries == 151


def test_nothing_is_tried_past_the_longer_of_the_two_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run past its deadline counts as one that hangs."""
    database = Database(monkeypatch, *[locked(), OperationalError("away")] * 1_000)
    with pytest.raises(OperationalError):
        database.record(locked_for_s=100)
    assert database.now == pytest.approx(100, abs=1)


def test_a_job_that_is_no_longer_ours_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(monkeypatch, FencedError())
    with pytest.raises(FencedError):
        database.record()
    assert database.tries == 1


def test_a_write_that_is_refused_is_not_waited_for() -> None:
    error = OperationalError("row is too big")
    error.__cause__ = ProgramLimitExceeded()
    tries: list[int] = []

    def write() -> None:
        tries.append(1)
        assert len(tries) < 3
        raise error

    with pytest.raises(OperationalError):
        outcomes.until_stored(write, "an end", for_s=1, clock=lambda: 0.0, sleep=lambda _: None)
    assert tries == [1]
