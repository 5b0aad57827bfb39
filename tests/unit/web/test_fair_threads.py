"""Turns: few threads, shared in rotation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait

import pytest

from aifeature.api.fair_threads import LONGEST_WAIT_S, FairThreads, Turn
from aifeature.services.jobs.refusals import Overloaded

PATIENCE_S = 30.0
SIZE = 4


class Gate:
    """A gate at which calls wait until a test opens it."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self) -> None:
        self.entered.release()
        assert self._open.wait(PATIENCE_S)

    def open(self) -> None:
        self._open.set()

    def await_entered(self, count: int) -> None:
        for _ in range(count):
            assert self.entered.acquire(timeout=PATIENCE_S)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def threads() -> FairThreads:
    return FairThreads(SIZE, name="test", at_end=lambda: None)


def visit(threads: FairThreads, visitor: str, call: Callable[[], object]) -> Future[object]:
    """A request that makes one call."""
    turn = threads.turn(lambda: visitor)
    future = turn.submit(call)
    turn.let_go()
    return future


def served(*futures: Future[object]) -> None:
    assert not wait(futures, PATIENCE_S).not_done
    for future in futures:
        future.result()


def test_so_many_requests_have_a_thread_and_no_more(threads: FairThreads, gate: Gate) -> None:
    futures = [visit(threads, f"v{n}", gate) for n in range(SIZE + 10)]
    gate.await_entered(SIZE)
    assert threads.waiting() == 10
    assert sum(future.running() for future in futures) == SIZE
    gate.open()
    served(*futures)
    names = {thread.name for thread in threading.enumerate() if thread.name.startswith("test-")}
    assert names <= {f"test-{n}" for n in range(1, SIZE + 1)}


def test_one_visitor_has_a_quarter_of_the_threads_at_most(threads: FairThreads, gate: Gate) -> None:
    greedy = [visit(threads, "greedy", gate) for _ in range(50)]
    gate.await_entered(SIZE // 4)
    served(visit(threads, "other", lambda: None))
    assert sum(future.running() for future in greedy) == SIZE // 4
    gate.open()
    served(*greedy)


def test_visitors_take_turns_in_a_flood_of_one_of_them(gate: Gate) -> None:
    threads = FairThreads(1, name="test", at_end=lambda: None)
    first = visit(threads, "first", gate)
    gate.await_entered(1)
    order: list[str] = []
    greedy = [visit(threads, "greedy", lambda: order.append("greedy")) for _ in range(50)]
    others = [visit(threads, f"v{n}", lambda: order.append("other")) for n in range(3)]
    gate.open()
    served(first, *greedy, *others)
    assert order[:5] == ["greedy", "other", "other", "other", "greedy"]


def test_a_request_keeps_its_thread_until_it_lets_it_go(threads: FairThreads, gate: Gate) -> None:
    turn = threads.turn(lambda: "v")
    first = turn.submit(threading.get_ident).result(PATIENCE_S)
    blocked = [visit(threads, f"v{n}", gate) for n in range(SIZE - 1)]
    gate.await_entered(SIZE - 1)
    assert turn.submit(threading.get_ident).result(PATIENCE_S) == first
    other = visit(threads, "other", threading.get_ident)
    assert not other.done()
    turn.let_go()
    assert other.result(PATIENCE_S) == first
    assert turn.submit(threading.get_ident).result(PATIENCE_S) == first, "it takes one again"
    turn.let_go()
    gate.open()
    served(*blocked)


def test_the_state_of_a_turn_is_cleared_in_its_thread() -> None:
    cleared: list[int] = []
    done = threading.Semaphore(0)

    def clear() -> None:
        cleared.append(threading.get_ident())
        done.release()

    threads = FairThreads(1, name="test", at_end=clear)
    with threads.turn(lambda: "v") as turn:
        used = turn.submit(threading.get_ident).result(PATIENCE_S)
    assert done.acquire(timeout=PATIENCE_S)
    assert cleared == [used]


def test_a_call_whose_client_is_gone_is_not_made(threads: FairThreads, gate: Gate) -> None:
    blocked = [visit(threads, f"v{n}", gate) for n in range(SIZE)]
    gate.await_entered(SIZE)
    made: list[int] = []
    hung_up = visit(threads, "gone", lambda: made.append(1))
    assert hung_up.cancel()
    gate.open()
    served(*blocked, visit(threads, "gone", lambda: None))
    assert made == []


def test_a_request_that_has_waited_too_long_is_refused(gate: Gate) -> None:
    now = [0.0]
    threads = FairThreads(1, name="test", at_end=lambda: None, clock=lambda: now[0])
    first = visit(threads, "first", gate)
    gate.await_entered(1)
    made: list[str] = []
    late = visit(threads, "late", lambda: made.append("late"))
    turn = threads.turn(lambda: "patient")
    patient: Future[object] = turn.submit(lambda: made.append("patient"))
    turn.is_patient = True
    turn.let_go()
    now[0] += LONGEST_WAIT_S
    in_time = visit(threads, "in time", lambda: made.append("in time"))
    now[0] += 0.1
    gate.open()
    served(first, patient, in_time)
    with pytest.raises(Overloaded):
        late.result(PATIENCE_S)
    assert made == ["patient", "in time"]


def test_no_request_waits_while_a_thread_is_free(gate: Gate) -> None:
    """Two requests in a row find one idle thread: it is notified once, and can serve one."""
    for _ in range(20):
        threads = FairThreads(SIZE, name="test", at_end=lambda: None)
        served(visit(threads, "warm", lambda: None))
        while not threads._idle:
            time.sleep(0.001)
        slow = visit(threads, "slow", gate)
        served(visit(threads, "quick", lambda: None))
        assert not slow.done()


def test_a_thread_outlives_what_fails_at_its_end() -> None:
    def fail() -> None:
        raise KeyError("x")

    threads = FairThreads(1, name="test", at_end=fail)
    for _ in range(3):
        served(visit(threads, "v", lambda: None))


def test_a_refused_request_is_marked_as_refused(gate: Gate) -> None:
    """Its answer passes the middlewares, in the same thread."""
    now = [0.0]
    threads = FairThreads(1, name="test", at_end=lambda: None, clock=lambda: now[0])
    first = visit(threads, "first", gate)
    gate.await_entered(1)
    turn = threads.turn(lambda: "late")
    refused = turn.submit(lambda: 1)
    now[0] += LONGEST_WAIT_S + 1
    gate.open()
    served(first)
    with pytest.raises(Overloaded):
        refused.result(PATIENCE_S)
    assert turn.submit(lambda: "sorry").result(PATIENCE_S) == "sorry"
    turn.let_go()


def test_a_call_that_fails_fails_for_its_caller_alone(threads: FairThreads) -> None:
    def fail() -> None:
        raise KeyError("x")

    turn: Turn = threads.turn(lambda: "v")
    with pytest.raises(KeyError):
        turn.submit(fail).result(PATIENCE_S)
    assert turn.submit(lambda: 1).result(PATIENCE_S) == 1
    turn.let_go()
