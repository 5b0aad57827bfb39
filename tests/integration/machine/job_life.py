"""The rules by which Hypothesis chooses what happens next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.integration.machine.calls import LEASE, Call, Cancel, Claim, Submit, Switch
from tests.integration.machine.database import FEATURES, USERS
from tests.integration.machine.held_calls import (
    ACCEPTED,
    Begin,
    Finish,
    Heartbeat,
    Held,
    Release,
    Settle,
)
from tests.integration.machine.ledger import Caps, Ending
from tests.integration.machine.rows import AttemptRow, JobRow
from tests.integration.machine.sweep_calls import (
    LOST_AFTER,
    Dispatch,
    EndAbandoned,
    EndOverdue,
    NextDue,
)
from tests.integration.machine.transactions import Transactions
from tests.integration.machine.view import EVERYTHING

T = TypeVar("T")

ENDS = st.sampled_from(["COMMIT", "HOLD", "COMMIT", "HOLD", "COMMIT", "ROLLBACK"])
CAPS = st.one_of(st.none(), st.integers(8, 24))
DELAYS = st.sampled_from([timedelta(0), timedelta(seconds=30)])
STATES = st.sampled_from(["settled", "failed", "unknown"])
WORK = st.sampled_from(
    [
        *("settle", "release", "succeeded", "settle", "release"),
        *("needs_approval", "failed", "cancelled", "succeeded"),
    ]
)
PICKS = st.integers(0, 2**16 - 1)
"""Chooses from what there is. Which of two waiting calls gets a lock first is not ours to say, so
what Hypothesis draws must not depend on it: another outcome would count as a flaky test."""

CONTROLS: Final = (
    *(Switch(name, killed) for killed in (False, True) for name in (*FEATURES, EVERYTHING)),
    *(Dispatch(1), Dispatch(2), Dispatch(4), Dispatch(2)),
    *(EndAbandoned(), EndOverdue(1), EndAbandoned(), EndOverdue(9), NextDue()),
)
REPEATED: Final = (Claim, Cancel, Settle, Finish, Release)
"""Calls that may be made twice at once: a message delivered twice, a lost connection."""

MOST_JOBS: Final = 8


class JobLife(Transactions):
    """Users, workers, messages, the dispatcher and the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[UUID] = []
        """Every id that was ever given out, also of submissions that were rolled back."""
        self.begun = 0

    @initialize(
        caps=st.builds(Caps, CAPS, CAPS, CAPS),
        features=st.lists(st.sampled_from(FEATURES), min_size=2, max_size=3),
    )
    def jobs_that_run(self, caps: Caps, features: list[str]) -> None:
        self.caps = caps
        for feature in features:
            self._submit(USERS[0], feature, None, marked=True, end="COMMIT")
            self.send(Claim(self.jobs[-1], "w1"))
            self._begin(self.claims[-1], 4, "COMMIT")

    @invariant()
    def rows_are_the_models(self) -> None:
        self.check()

    @rule(
        user=st.sampled_from(USERS),
        feature=st.sampled_from(FEATURES),
        key=st.sampled_from([None, None, "k"]),
        marked=st.booleans(),
        end=ENDS,
    )
    def submit(self, user: int, feature: str, key: str | None, marked: bool, end: str) -> None:
        self.make_room()
        if len(self.jobs) < MOST_JOBS:
            self._submit(user, feature, key, marked=marked, end=end)

    @rule(pick=PICKS, stranger=st.sampled_from([None, None, *USERS]), end=ENDS)
    def cancel(self, pick: int, stranger: int | None, end: str) -> None:
        self.make_room()
        job = chosen(self.jobs, pick)
        if job:
            row = self.world.get(("job", job))
            owner = row.user if isinstance(row, JobRow) else USERS[0]
            self.send(Cancel(job, stranger or owner, f"C{self.now:%S%f}"), end)

    @rule(pick=PICKS, worker=st.sampled_from(["w1", "w2"]), end=ENDS)
    def deliver(self, pick: int, worker: str, end: str) -> None:
        self.make_room()
        job = chosen(self.jobs, pick)
        if job:
            self.send(Claim(job, worker), end)

    @rule(pick=PICKS, bound=st.integers(1, 9), end=ENDS)
    def call_provider(self, pick: int, bound: int, end: str) -> None:
        self.make_room()
        if held := self._free_run(pick):
            self._begin(held, bound, end)

    @rule(pick=PICKS, what=WORK, which=PICKS, state=STATES, share=PICKS, end=ENDS)
    def end_call(self, pick: int, what: str, which: int, state: str, share: int, end: str) -> None:
        self.make_room()
        held = self._free_run(pick)
        if held is None:
            return
        every = what == "settle" or not self._is_mine(held)  # a zombie names any of its own
        rows = [row for row in self._attempts(held) if every or row.state == "started"]
        row = chosen(rows, which) if which % 4 else None
        state = "settled" if what in ACCEPTED else state
        ending = Ending(state, share % (row.bound + 1) if row else 0)
        attempt = row.id if row else None
        if what == "settle" and row:
            self.send(Settle(held, row.id, ending), end)
        elif what in {"release", "settle"}:
            delay = timedelta(seconds=30 * (share % 2))
            self.send(Release(held, delay, bool(which % 2), attempt, ending), end)
        else:
            self.send(Finish(held, what, attempt, ending), end)

    @rule(picks=st.lists(PICKS, min_size=1, max_size=3), end=ENDS)
    def beat(self, picks: list[int], end: str) -> None:
        self.make_room()
        runs = [held for pick in picks if (held := self._run(pick))]
        if runs:
            self.send(Heartbeat(tuple(dict.fromkeys(runs))), end)

    @rule(pick=PICKS, end=ENDS)
    def repeat(self, pick: int, end: str) -> None:
        self.make_room()
        calls = [lane.call for lane in self.lanes.all if isinstance(lane.call, REPEATED)]
        call = chosen(calls, pick)
        if call:
            self.send(call, end)

    @rule(call=st.sampled_from(CONTROLS), end=ENDS)
    def control(self, call: Call, end: str) -> None:
        self.make_room()
        if isinstance(call, Switch) or self._may_sweep(call):
            self.send(call, end)

    @rule(pick=PICKS, past=st.sampled_from([timedelta(0), timedelta(microseconds=1)]))
    def time_passes(self, pick: int, past: timedelta) -> None:
        if moment := chosen(self._moments(), pick):
            self.now = moment + past

    @rule(pick=PICKS, how=st.sampled_from(["COMMIT", "COMMIT", "ROLLBACK"]))
    def end_transaction(self, pick: int, how: str) -> None:
        if lane := chosen(self.open(), pick):
            self.end(lane, how)

    def make_room(self) -> None:
        """Commit until a call can be sent: there are few connections. Dispatchers choose by what
        others lock, so nobody moves while one of them waits.
        """
        while not self.idle() or any(isinstance(lane.call, Dispatch) for lane in self.under_way()):
            self.end(self.open()[0], "COMMIT")

    def _may_sweep(self, call: Call) -> bool:
        """What a heartbeat over several jobs has locked while it waits is not known."""
        waiting = self.under_way()
        if isinstance(call, Dispatch):
            return not waiting
        return not any(isinstance(lane.call, Heartbeat) for lane in waiting)

    def _submit(self, user: int, feature: str, key: str | None, *, marked: bool, end: str) -> None:
        self.jobs.append(UUID(int=len(self.jobs) + 1))
        self.send(Submit(self.jobs[-1], user, feature, key, marked), end)

    def _begin(self, held: Held, bound: int, end: str) -> None:
        self.begun += 1
        self.send(Begin(held, UUID(int=2**64 + self.begun), bound, self.caps), end)

    def _run(self, pick: int) -> Held | None:
        """A run that began at any time; mostly one that is still its worker's."""
        mine = [held for held in self.claims if self._is_mine(held)]
        return chosen(mine or self.claims, pick // 4) if pick % 4 else chosen(self.claims, pick)

    def _free_run(self, pick: int) -> Held | None:
        """The same, if its worker is not in the middle of a call: each has one thread."""
        held = self._run(pick)
        busy = [getattr(lane.call, "held", None) for lane in self.lanes.all]
        return None if held in busy else held

    def _is_mine(self, held: Held) -> bool:
        row = self.world.get(("job", held.job))
        return isinstance(row, JobRow) and held.is_mine(row)

    def _attempts(self, held: Held) -> list[AttemptRow]:
        return [
            row
            for row in self.world.values()
            if isinstance(row, AttemptRow) and (row.job, row.epoch) == (held.job, held.epoch)
        ]

    def _moments(self) -> list[datetime]:
        """Times to come at which something starts or stops to be true."""
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        moments = {midnight}
        for row in self.world.values():
            if isinstance(row, JobRow):
                moments |= {row.run_at, row.deadline_at}
                if row.lease_until is not None:
                    moments |= {row.lease_until, row.lease_until - LEASE * 2 / 3}
                if row.published_at is not None:
                    moments.add(row.published_at + LOST_AFTER)
        return sorted(moment for moment in moments if moment > self.now)


def chosen(items: Sequence[T], pick: int) -> T | None:
    """One of the items; None when there are none."""
    return items[pick % len(items)] if items else None
