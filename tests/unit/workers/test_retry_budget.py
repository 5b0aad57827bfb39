"""The retry budget against a plain model of it, on a clock of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.clock import Clock
from workers.retry_budget import FLOOR, RATIO, WINDOW_S, RetryBudget


@pytest.fixture
def budget(clock: Clock) -> RetryBudget:
    return RetryBudget(clock=clock)


def granted(budget: RetryBudget, wanted: int) -> int:
    return sum(budget.withdraw() is not None for _ in range(wanted))


@pytest.mark.parametrize(("firsts", "allowed"), [(0, 10), (4, 10), (5, 11), (50, 20), (1_000, 210)])
def test_retries_are_a_share_of_the_first_calls_and_a_floor(
    budget: RetryBudget, firsts: int, allowed: int
) -> None:
    for _ in range(firsts):
        budget.deposit()
    assert granted(budget, 1_000) == allowed


def test_a_retry_outside_the_window_does_not_count(budget: RetryBudget, clock: Clock) -> None:
    for _ in range(100):
        budget.deposit()
    assert granted(budget, 100) == 30
    clock.now += WINDOW_S
    assert granted(budget, 100) == 0, "the first calls have left, the retries not for certain"
    clock.now += WINDOW_S / 10
    assert granted(budget, 100) == FLOOR


def test_a_retry_that_was_answered_makes_room_for_the_next(
    budget: RetryBudget, clock: Clock
) -> None:
    first, *_ = (budget.withdraw() for _ in range(FLOOR))
    assert first is not None
    clock.now += WINDOW_S / 2
    assert budget.withdraw() is None
    budget.give_back(first)
    assert granted(budget, 5) == 1


def test_a_retry_given_back_after_its_window_makes_no_room(
    budget: RetryBudget, clock: Clock
) -> None:
    old = budget.withdraw()
    assert old is not None
    clock.now += 2 * WINDOW_S
    budget.give_back(old)
    assert granted(budget, 100) == FLOOR


@pytest.mark.parametrize("operation", ["deposit", "withdraw", "give_back"])
def test_one_thread_at_a_time_looks_and_counts(operation: str) -> None:
    together = threading.Barrier(2)
    met: list[bool] = []

    def clock() -> float:
        with suppress(threading.BrokenBarrierError):
            together.wait(0.1)
            met.append(True)
        return 1_000_000.0

    budget = RetryBudget(clock=clock)
    calls: dict[str, Callable[[], object]] = {
        "deposit": budget.deposit,
        "withdraw": budget.withdraw,
        "give_back": lambda: budget.give_back(0),
    }
    threads = [threading.Thread(target=calls[operation]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not met


@dataclass
class Model:
    """Every event with its time."""

    firsts: list[float] = field(default_factory=list)
    retries: list[float] = field(default_factory=list)

    def allowed(self, now: float) -> float:
        return FLOOR + RATIO * sum(at > now - WINDOW_S for at in self.firsts)

    def sent(self, now: float) -> int:
        return sum(at > now - WINDOW_S for at in self.retries)


EVENT = st.tuples(
    st.sampled_from(["deposit", "withdraw", "withdraw", "give_back"]),
    st.integers(1, 40),
    st.floats(0, 2 * WINDOW_S) | st.just(0.0),
)


@given(st.lists(EVENT, max_size=60))
def test_no_window_ever_holds_more_than_its_share(
    events: list[tuple[str, int, float]],
) -> None:
    clock, model = Clock(), Model()
    budget = RetryBudget(clock=clock)
    open_: list[tuple[int, float]] = []
    for what, times, later in events:
        clock.now += later
        for _ in range(times):
            match what:
                case "deposit":
                    budget.deposit()
                    model.firsts.append(clock.now)
                case "withdraw":
                    withdrawal = budget.withdraw()
                    if withdrawal is not None:
                        open_.append((withdrawal, clock.now))
                        model.retries.append(clock.now)
                        assert model.sent(clock.now) <= model.allowed(clock.now)
                case _ if open_:
                    withdrawal, at = open_.pop()
                    budget.give_back(withdrawal)
                    model.retries.remove(at)


@given(st.lists(EVENT, max_size=30))
def test_a_quiet_window_later_the_whole_floor_is_there_again(
    events: list[tuple[str, int, float]],
) -> None:
    """Nothing leaks: after any sequence, retries outside the window are forgotten."""
    clock = Clock()
    budget = RetryBudget(clock=clock)
    for what, times, later in events:
        clock.now += later
        for _ in range(times):
            if what == "deposit":
                budget.deposit()
            elif (withdrawal := budget.withdraw()) is not None and what == "give_back":
                budget.give_back(withdrawal)
    clock.now += WINDOW_S * 1.1
    assert granted(budget, 100) == FLOOR
