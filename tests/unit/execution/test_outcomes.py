"""The end of a run is stored after an outage, while the lease may last."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
import pytest
from django.db import InterfaceError, OperationalError
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
    """Give these answers to the tries, and the last one to all others. A sleep moves the clock."""

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


AWAY, CLOSED, LOCKED = OperationalError("away"), InterfaceError("away"), locked()


@pytest.mark.parametrize(
    ("answers", "locked_for_s", "tries", "waited_s"),
    [
        pytest.param([None], 0, 1, 0, id="stored at the first try"),
        pytest.param([AWAY, AWAY, None], 0, 3, 2 * outcomes.RETRY_S, id="outage"),
        pytest.param([CLOSED, CLOSED, None], 0, 3, 2 * outcomes.RETRY_S, id="closed connection"),
        pytest.param(
            [*[LOCKED] * 100, *[AWAY] * 50, None],
            *(200, 151, 150 * outcomes.RETRY_S),
            id="an outage after a lock has all its time",
        ),
    ],
)
def test_an_end_is_stored_after_an_outage_or_a_lock(
    monkeypatch: pytest.MonkeyPatch,
    answers: list[Exception | None],
    locked_for_s: float,
    tries: int,
    waited_s: float,
) -> None:
    database = Database(monkeypatch, *answers)
    database.record(locked_for_s=locked_for_s)
    assert database.tries == tries
    assert database.now == pytest.approx(waited_s)


@pytest.mark.parametrize(
    ("answers", "locked_for_s", "waited_s"),
    [
        pytest.param([AWAY], 0, 15, id="a long outage is left to the lease"),
        # The database answers, so the lease is extended and no worker takes over a paid answer.
        pytest.param([LOCKED], 200, 200, id="a lock is waited out until the deadline"),
        pytest.param([LOCKED], 2, 15, id="no shorter than an outage"),
        # A run past its deadline counts as one that hangs.
        pytest.param([LOCKED, AWAY] * 1_000, 100, 100, id="no longer than the longer time"),
    ],
)
def test_an_end_is_given_up_after_a_time(
    monkeypatch: pytest.MonkeyPatch,
    answers: list[Exception],
    locked_for_s: float,
    waited_s: float,
) -> None:
    database = Database(monkeypatch, *answers)
    with pytest.raises(OperationalError):
        database.record(locked_for_s=locked_for_s)
    assert database.now == pytest.approx(waited_s, abs=1)


def test_a_job_of_another_run_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
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
