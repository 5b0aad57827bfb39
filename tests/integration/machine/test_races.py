"""Threads try to end the same run in every way at the same time, and exactly one succeeds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.integration.machine import invariants
from tests.integration.machine.calls import DEADLINE, Call, Cancel, Claim, Submit
from tests.integration.machine.database import FEATURES, USERS
from tests.integration.machine.held_calls import Begin, Finish, Held, Release
from tests.integration.machine.lanes import Lanes
from tests.integration.machine.ledger import Caps, Ending
from tests.integration.machine.sweep_calls import EndAbandoned, EndOverdue
from tests.integration.machine.transactions import EVENING

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

ROUNDS = 120
JOBS = tuple(UUID(int=number) for number in (1, 2, 3))
LATE = EVENING + DEADLINE + timedelta(seconds=1)
"""The first run's lease has ended and the deadline has passed, so any contender may end it."""

Session = psycopg.Connection[tuple[Any, ...]]


def _attempt(job: UUID) -> UUID:
    return UUID(int=2**64 + job.int)


def _finish(job: UUID) -> Call:
    return Finish(Held(job, 1), "succeeded", _attempt(job), Ending("settled", 3))


def _release(job: UUID) -> Call:
    return Release(Held(job, 1), timedelta(0), True, _attempt(job), Ending("failed", 1))


CONTENDERS: tuple[Callable[[UUID], Call], ...] = (
    *[lambda job: Claim(job, "w2")] * 4,
    *[_finish] * 3,
    *[_release] * 3,
    *[lambda job: Cancel(job, USERS[0], "C")] * 3,
    *[lambda _: EndAbandoned()] * 2,
    lambda _: EndOverdue(1),
)


@pytest.fixture
def sessions(database_url: str) -> Iterator[list[Session]]:
    """One connection for each contender, with the late time."""
    with ExitStack() as exits:
        yield [
            exits.enter_context(
                psycopg.connect(
                    database_url, autocommit=True, options=f"-c fake_clock.now={LATE.isoformat()}"
                )
            )
            for _ in CONTENDERS
        ]


def _answer(session: Session, call: Call) -> list[tuple[Any, ...]]:
    statement, parameters = call.statement(LATE)
    try:
        return session.execute(statement.encode(), parameters).fetchall()
    except psycopg.errors.LockNotAvailable:  # a claim skips a locked job
        return []


def _run_once(session: Session, job: UUID, feature: str) -> None:
    """Submit a job, claim it and begin a call, in the evening."""
    session.execute(f"SET fake_clock.now = '{EVENING.isoformat()}'".encode())
    for call in (
        Submit(job, USERS[0], feature, None, marked=False),
        Claim(job, "w1"),
        Begin(Held(job, 1), _attempt(job), 5, Caps(None, None, None)),
    ):
        statement, parameters = call.statement(EVENING)
        session.execute(statement.encode(), parameters)
    session.execute(f"SET fake_clock.now = '{LATE.isoformat()}'".encode())


def _contend(
    session: Session, make: Callable[[UUID], Call], start: Barrier
) -> tuple[list[UUID], list[UUID]]:
    """Make the calls for all jobs in random order. Return the jobs that they ended and claimed."""
    ended, claimed = [], []
    start.wait()
    for job in random.sample(JOBS, len(JOBS)):
        call = make(job)
        rows = _answer(session, call)
        match call:
            case Claim():
                # After a return to the queue it would be epoch 3.
                ended += [job for row in rows if row[0] == 2]
                claimed += [job] * len(rows)
            case EndAbandoned():
                ended += [row[0] for row in rows]
            case Finish() | Release():
                ended += [job] * rows[0][0]
            case _:
                pass
    return ended, claimed


def test_one_of_sixteen_threads_ends_a_run(lanes: Lanes, sessions: list[Session]) -> None:
    winners: Counter[str] = Counter()
    start = Barrier(len(CONTENDERS))
    with ThreadPoolExecutor(len(CONTENDERS)) as threads:
        for _ in range(ROUNDS):
            lanes.reset()
            for number, job in enumerate(JOBS):
                _run_once(sessions[0], job, FEATURES[number % len(FEATURES)])
            before = lanes.rows()
            # Threads that always start in the same order might also succeed in that order.
            contenders = random.sample(CONTENDERS, len(CONTENDERS))
            futures = [
                threads.submit(_contend, session, make, start)
                for session, make in zip(sessions, contenders, strict=True)
            ]
            ended: Counter[UUID] = Counter()
            claimed: Counter[UUID] = Counter()
            for future, make in zip(futures, contenders, strict=True):
                won, taken = future.result()
                ended.update(won)
                claimed.update(taken)
                winners[type(make(JOBS[0])).__name__] += len(won)
            rows = lanes.rows()
            invariants.check(rows, earlier={}, caps=Caps(None, None, None))
            assert before.keys() <= rows.keys()
            assert ended == Counter(JOBS), f"ended by {ended}: {rows}"
            assert max(claimed.values(), default=0) <= 1, f"claimed by {claimed}: {rows}"
    assert len(+winners) >= 3, f"few kinds of calls won: {winners}"
