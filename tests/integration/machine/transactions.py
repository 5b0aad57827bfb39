"""Sends concurrent calls and compares every answer and row with the model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

import psycopg
from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine

from tests.integration.machine import invariants
from tests.integration.machine.books_calls import Reconcile
from tests.integration.machine.calls import LOCKED, Call, Claim
from tests.integration.machine.held_calls import Held
from tests.integration.machine.keeper_calls import Flags, Switches
from tests.integration.machine.lanes import Answer, Lane, Lanes
from tests.integration.machine.ledger import Caps
from tests.integration.machine.rows import Key, Row
from tests.integration.machine.sweep_calls import (
    CancelStopped,
    Dispatch,
    DispatchOthers,
    EndAbandoned,
    EndOverdue,
    EndUnapproved,
)
from tests.integration.machine.view import View

EVENING: Final = datetime(2026, 3, 1, 23, 55, tzinfo=UTC)
"""Five minutes before midnight, so that runs cross it."""

TICK: Final = timedelta(milliseconds=1)
"""Time between two calls."""


class Transactions(RuleBasedStateMachine):
    """The committed rows of the model, and the calls whose transactions are open."""

    lanes: ClassVar[Lanes]

    def __init__(self) -> None:
        super().__init__()
        self.lanes.reset()
        self.now = EVENING
        self.caps = Caps(None, None, None)
        self.world: dict[Key, Row] = self.lanes.rows()
        self.earlier = self.world
        self.claims: list[Held] = []
        """Every run since the beginning, oldest first. The last one of a job may still run."""

    def teardown(self) -> None:
        self.lanes.clear()

    def idle(self) -> list[Lane]:
        return [lane for lane in self.lanes.all if lane.is_idle]

    def open(self) -> list[Lane]:
        return [lane for lane in self.lanes.all if lane.is_open]

    def under_way(self) -> list[Lane]:
        return [lane for lane in self.lanes.all if lane.is_under_way]

    def send(self, call: Call, end: str = "COMMIT") -> None:
        """Send a call on a free connection, and `end` it if it answers without a wait.

        The call must answer or wait as in the model.
        """
        lane = self.idle()[0]
        note(f"  {self.now:%H:%M:%S.%f} {self.lanes.all.index(lane)}: {call} {end}")
        held = {key for other in self.open() if other.view for key in other.view.held}
        maybe = {key for other in self.under_way() for key in other.reach}
        locked = frozenset(held | maybe)
        plan = View(
            now=self.now, world=self.world, before=self.world, locked=locked, locked_before=locked
        )
        call.run(plan)
        lane.reach = plan.wanted
        lane.send(call, now=self.now, world=self.world, locked=locked)
        self.now += TICK
        self._follow()
        if lane.is_under_way:
            assert (plan.wanted | plan.maybe) & locked, (
                f"{call} waits, but none of its rows is locked"
            )
        else:
            assert not plan.wanted & held, f"{call} did not wait for {plan.wanted & held}"
            if lane.is_open and end != "HOLD":
                self.end(lane, end)

    def end(self, lane: Lane, how: str) -> None:
        """Commit or roll back an answered call, check all rows and follow the waiting calls."""
        call, view = lane.call, lane.view
        assert view is not None
        lane.end(how)
        if how == "COMMIT":
            self.world.update(view.written)
            if isinstance(call, Claim) and (row := view.job(call.job)) and view.written:
                self.claims.append(Held(call.job, row.epoch))
        self.check()
        for waiting in self.under_way():
            waiting.reach |= self._view(waiting).wanted
        self._follow()

    def check(self) -> None:
        """Assert that the committed rows are the model's, and the promises that need no model."""
        rows = self.lanes.rows()
        invariants.check(rows, earlier=self.earlier, caps=self.caps)
        for key in rows.keys() | self.world.keys():
            assert rows.get(key) == self.world.get(key), (
                f"\nthe database has {rows.get(key)}\nand the model   {self.world.get(key)}"
            )
        self.earlier = rows

    def _follow(self) -> None:
        """Compare the answers, until all other calls wait for an open transaction."""
        while answered := self.lanes.answered():
            for lane, answer in answered:
                self._take(lane, answer)

    def _take(self, lane: Lane, answer: Answer | psycopg.Error) -> None:
        if isinstance(lane.call, Claim) and isinstance(answer, psycopg.errors.LockNotAvailable):
            answer = [(LOCKED,)]
        assert not isinstance(answer, psycopg.Error), f"{lane.call} failed: {answer!r}"
        view = self._view(lane, answer)
        assert lane.call is not None
        expected = lane.call.run(view)
        found = _plain(lane.call, answer)
        assert found == expected, f"{lane.call}: answered {found!r}, expected {expected!r}"
        lane.view = view

    def _view(self, lane: Lane, answer: Answer | None = None) -> View:
        assert lane.now is not None
        assert lane.call is not None
        others = [other for other in self.lanes.all if other is not lane]
        locked = {key for other in others if other.view for key in other.view.held}
        locked |= {key for other in others if other.is_under_way for key in other.reach}
        view = View(
            now=lane.now,
            world=self.world,
            before=lane.before,
            locked=locked,
            locked_before=lane.locked_before,
            answer=[row[0] for row in answer or ()],
        )
        if answer is None:
            lane.call.run(view)
        return view


def _plain(call: Call, answer: Answer) -> object:  # noqa: PLR0911 (a table)
    """Convert a result set to the answer of the model."""
    match call:
        case Flags() | Switches():
            return set(answer)
        case Claim() if answer == [(LOCKED,)]:
            return LOCKED
        case DispatchOthers() | EndOverdue() | EndUnapproved() | EndAbandoned() | CancelStopped():
            return {row[0] for row in answer}
        case Dispatch():
            return [row[0] for row in answer]
        case Reconcile():
            return answer
        case Claim():
            return answer[0] if answer else None
        case _:
            return answer[0][0]
