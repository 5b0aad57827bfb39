"""A background thread survives every exception of its turns, and ends when it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError

from aifeature.services.background import Loop

SOON_S = 20.0
"""Far above what anything here takes."""


class Work:
    """Count turns. Each returns or raises its own answer."""

    def __init__(self, *answers: float | Exception | None) -> None:
        self.answers = list(answers)
        self.turns = threading.Semaphore(0)
        self.count = 0

    def __call__(self) -> float | None:
        answer = self.answers.pop(0) if self.answers else None
        self.count += 1
        self.turns.release()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, turns: int) -> None:
        for _ in range(turns):
            assert self.turns.acquire(timeout=SOON_S)


@contextmanager
def running(loop: Loop) -> Iterator[None]:
    loop.wake()
    try:
        yield
    finally:
        loop.stop(within_s=SOON_S)


def test_each_wake_is_followed_by_a_turn() -> None:
    work = Work()
    loop = Loop("test", work)
    with running(loop):
        work.wait(1)
        for _ in range(3):
            loop.wake()
            work.wait(1)


def test_a_turn_returns_the_time_until_the_next_one() -> None:
    work = Work(0.0, 0.001, None)
    with running(Loop("test", work)):
        work.wait(3)


@pytest.mark.parametrize("error", [OperationalError("away"), ZeroDivisionError("bug")])
def test_no_exception_ends_it(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    work = Work(error, error, None)
    with running(Loop("test", work, retry_s=0.001)):
        work.wait(3)
    assert "test: " in caplog.text
    assert "trying again" in caplog.text


@pytest.mark.parametrize("has_last_turn", [True, False])
def test_a_last_turn_finishes_the_work(has_last_turn: bool) -> None:
    work = Work()
    loop = Loop("test", work, has_last_turn=has_last_turn)
    with running(loop):
        work.wait(1)
    assert loop._thread is not None
    assert not loop._thread.is_alive()
    assert work.count == (2 if has_last_turn else 1)


def test_a_stopped_loop_makes_no_more_turns() -> None:
    work = Work()
    loop = Loop("test", work)
    with running(loop):
        work.wait(1)
    thread = loop._thread
    loop.wake()
    assert loop._thread is thread, "no new thread"
    assert work.count == 1


def test_a_wake_during_a_turn_is_not_lost() -> None:
    entered, go_on = threading.Event(), threading.Event()
    turns = threading.Semaphore(0)

    def work() -> None:
        entered.set()
        assert go_on.wait(SOON_S)
        turns.release()

    loop = Loop("test", work)
    with running(loop):
        assert entered.wait(SOON_S)
        loop.wake()
        go_on.set()
        assert turns.acquire(timeout=SOON_S)
        assert turns.acquire(timeout=SOON_S)


def test_a_stop_while_a_turn_begins_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop("test", Work())
    clear = loop._woken.clear

    def stop_first() -> None:
        loop._stopped.set()
        loop._woken.set()
        clear()

    monkeypatch.setattr(loop._woken, "clear", stop_first)
    loop.wake()
    assert loop._thread is not None
    loop._thread.join(SOON_S)
    assert not loop._thread.is_alive()
