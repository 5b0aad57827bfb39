"""A feature whose functions hang leaves the others their turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from aifeature.services.functions.turns import Turns

PATIENCE_S = 30.0


class Waiting:
    """Calls that wait for a turn and hold it until the test ends it."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.began: list[str] = []
        self.change = threading.Condition()
        self.ends = ExitStack()

    def begin(self, slug: str) -> None:
        """Start a call that waits."""
        waiting = len(self.turns._waiting)
        end = threading.Event()
        thread = threading.Thread(target=self._hold, args=(slug, end))
        thread.start()
        self.ends.callback(thread.join)
        self.ends.callback(end.set)
        while len(self.turns._waiting) == waiting:
            time.sleep(0.001)

    def _hold(self, slug: str, end: threading.Event) -> None:
        with self.turns.turn(slug):
            with self.change:
                self.began.append(slug)
                self.change.notify_all()
            end.wait(PATIENCE_S)

    def until(self, *began: str) -> None:
        with self.change:
            self.change.wait_for(lambda: self.began == list(began), PATIENCE_S)
            assert self.began == list(began)


@contextmanager
def waiting(turns: Turns) -> Iterator[Waiting]:
    found = Waiting(turns)
    with found.ends:
        yield found


def test_a_feature_has_half_of_the_turns() -> None:
    turns = Turns(4)
    with ExitStack() as held, waiting(turns) as calls:
        for _ in range(2):
            held.enter_context(turns.turn("hangs"))
        calls.begin("hangs")
        with turns.turn("sound"), turns.turn("sound"):
            calls.until()
        held.pop_all().close()
        calls.until("hangs")


def test_the_feature_with_the_fewest_turns_is_next() -> None:
    turns = Turns(4)
    with waiting(turns) as calls, ExitStack() as held:
        first = held.enter_context(ExitStack())
        first.enter_context(turns.turn("hangs"))
        for slug in ("hangs", "hangs too", "hangs too"):
            held.enter_context(turns.turn(slug))
        for slug in ("hangs", "hangs too", "sound"):
            calls.begin(slug)
        first.close()
        calls.until("sound")


def test_an_error_ends_a_turn() -> None:
    turns = Turns(2)
    for _ in range(3):
        with pytest.raises(KeyError), turns.turn("raises"):
            raise KeyError
