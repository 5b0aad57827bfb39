"""The rules by which Hypothesis chooses the next call."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.books import counted
from tests.integration.machine.books_calls import Reconcile
from tests.integration.machine.calls import (
    LEASE,
    Call,
    Cancel,
    Claim,
    SettleUnknown,
    Submit,
    SubmitOther,
    Switch,
    WritePresence,
)
from tests.integration.machine.database import FEATURES, USERS
from tests.integration.machine.dice import Dice
from tests.integration.machine.held_calls import ANSWERED, Begin, Finish, Held, Release, Settle
from tests.integration.machine.keeper_calls import Extend, Flags, GiveBack, Switches
from tests.integration.machine.ledger import UNSURE, Caps, Ending
from tests.integration.machine.rows import AttemptRow, JobRow, WindowRow, WorkerRow
from tests.integration.machine.sweep_calls import (
    LOST_AFTER,
    CancelStopped,
    Dispatch,
    DispatchOthers,
    EndAbandoned,
    EndOverdue,
    EndUnapproved,
    NextDue,
)
from tests.integration.machine.transactions import TICK, Transactions
from tests.integration.machine.view import GLOBAL, SEEN

ENDS = ("COMMIT", "HOLD", "COMMIT", "HOLD", "COMMIT", "ROLLBACK")
CAPS = st.one_of(st.none(), st.integers(6, 24))
LOW_CAPS = st.one_of(st.none(), st.integers(6, 12))
"""Below the largest bound, so that a cap can refuse the first call of a day too."""
BOUNDS = (1, 2, 3, 5, 8, 13)
OUTCOMES = (
    *("settle", "release", "succeeded", "settle", "release"),
    *("needs_approval", "failed", "late", "cancelled", "succeeded"),
)
STATES = ("settled", "failed", "estimated", "unknown")
AUTHORS = ("user", "user", "user", "staff", "erasure", "")
"""Authors of a cancellation. The previous release sent none."""
OF_A_CANCELLED_RUN = ("cancelled", "cancelled", "release", "needs_approval")
CUT = (
    Ending("failed", 0),
    Ending("estimated", 2, by_user=True),
    Ending("unknown", 0, by_user=True),
)
CONTROLS: Final[tuple[Call, ...]] = (
    *(Switch(name, killed) for killed in (False, True) for name in (*FEATURES, GLOBAL)),
    *(Switch(FEATURES[0], True, "cancel"), CancelStopped(), CancelStopped()),
    *(Dispatch(1), Dispatch(2), Dispatch(4), Dispatch(2)),
    *(EndAbandoned(), EndOverdue(1), EndAbandoned(), EndOverdue(9), NextDue()),
    *(EndUnapproved(1), EndUnapproved(9)),
    *(WritePresence("e1", slots=2), DispatchOthers(1), DispatchOthers(9)),
)
REPEATED: Final = (Claim, Cancel, Settle, Finish, Release, SettleUnknown)
"""Calls that may run twice at the same time: a message delivered twice, a lost connection."""

DISPATCHES: Final = (Dispatch, DispatchOthers)

MOST_JOBS: Final = 8


class JobLife(Transactions):
    """Users, workers, messages, the dispatcher and the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[UUID] = []
        """The ids of all submissions, also of those that were rolled back."""
        self.begun = 0

    @initialize(
        caps=st.builds(
            Caps,
            *[CAPS] * 4,
            st.one_of(st.none(), st.integers(1, 2)),
            user_spend=LOW_CAPS,
            account=LOW_CAPS,
        ),
        features=st.lists(st.sampled_from(FEATURES), min_size=2, max_size=3),
        author=st.sampled_from((None, *AUTHORS)),
        cut=st.sampled_from(CUT),
        lost=st.booleans(),
        other=st.sampled_from((None, None, 0, 1)),
    )
    def jobs_that_run(
        self,
        caps: Caps,
        features: list[str],
        author: str | None,
        cut: Ending,
        *,
        lost: bool,
        other: int | None,
    ) -> None:
        """Make jobs with a call, one of them perhaps of an evaluation. The first one is taken over,
        and may be cancelled.

        The last one returns to the queue by its worker or, if the worker lost it, by the keeper.
        """
        self.caps = caps
        for number, feature in enumerate(features):
            key = "e" if number == other else None
            self.send(self._submission(USERS[0], feature, key, marked=True))
            self.send(Claim(self.jobs[-1], "w1"))
            self.send(self._call(self.claims[-1], 3))
        self.now += LEASE - TICK  # the end of the first job's lease
        self.send(Claim(self.jobs[0], "w2"))
        self.send(self._call(self.claims[-1], 3))
        last = self.claims[len(features) - 1]
        call = UUID(int=2**64 + len(features))
        if lost:
            self.send(Settle(last, call, cut))
            self.send(GiveBack(last))
        else:
            self.send(Release(last, timedelta(seconds=30), False, call, cut))
        if author is not None:
            self.send(Cancel(self.jobs[0], USERS[0], "C0", author))

    @rule(dice=st.builds(Dice, st.tuples(*[st.integers(0, 2**16 - 1)] * 12)))
    def step(self, dice: Dice) -> None:
        """Take any step. With several rules Hypothesis would leave some out of an example, and a
        job needs most of them.
        """
        how = dice.one_of(ENDS)
        match dice.below(21):
            case 0 | 1 if lanes := self.open():
                self.end(dice.one_of(lanes), dice.one_of(("COMMIT", "COMMIT", "ROLLBACK")))
            case 2 | 3:
                self.now = dice.one_of(self._moments()) + timedelta(microseconds=dice.below(2))
            case kind:
                self._make_room()
                if call := self._choose(kind, dice):
                    self.send(call, how)

    def _choose(self, kind: int, dice: Dice) -> Call | None:  # noqa: C901, PLR0911 (a table)
        match kind:
            case 4 if len(self.jobs) < MOST_JOBS:
                user, feature = dice.one_of(USERS), dice.one_of(FEATURES)
                key = dice.one_of((None, None, "k", "e"))
                return self._submission(user, feature, key, marked=bool(dice.below(2)))
            case 5:
                job = dice.one_of(self.jobs)
                row = self.world.get(("job", job))
                owner = row.user if isinstance(row, JobRow) else USERS[0]
                user, by = dice.one_of((owner, owner, *USERS)), dice.one_of(AUTHORS)
                shown = dice.one_of(("", "S"))
                return Cancel(job, user, f"C{self.now:%S%f}", by, shown)
            case 6 | 7:
                return Claim(dice.one_of(self.jobs), dice.one_of(("w1", "w2")))
            case 8 | 9 if held := self._free_run(dice):
                return self._call(held, dice.one_of(BOUNDS))
            case 10 | 11 | 12 if held := self._free_run(dice):
                return self._outcome(held, dice)
            case 13:
                runs = tuple(dict.fromkeys(self._run(dice) for _ in range(1 + dice.below(3))))
                reads: tuple[Call, ...] = (Extend(runs), Flags(runs), Extend(runs), Switches())
                return dice.one_of(reads)
            case 15:
                return WritePresence(dice.one_of(("w1", "w2")))
            case 16 if held := self._free_run(dice):
                return GiveBack(held)
            case 14 if calls := [
                lane.call for lane in self.lanes.all if isinstance(lane.call, REPEATED)
            ]:
                return dice.one_of(calls)
            case 14 if rows := self._attempts():
                unsure = [row for row in rows if row.state in UNSURE]
                attempt = dice.one_of(unsure or rows)
                return SettleUnknown(attempt.id, dice.below(counted(attempt) + 1))
            case 17 if windows := self._windows():
                window = dice.one_of(windows)
                more = [dice.below(3) for _ in range(3)]
                return Reconcile(window.scope, window.key, window.day, *more)
            case _:
                return self._control(dice)

    def _control(self, dice: Dice) -> Call | None:
        call = dice.one_of(CONTROLS)
        if isinstance(call, DispatchOthers) and self._has_evaluation() and dice.below(3):
            self.send(WritePresence("e1", slots=2))  # a jump of the clock makes the last one stale
            self._make_room()
        return call if isinstance(call, Switch) or self._may_sweep(call) else None

    def _outcome(self, held: Held, dice: Dice) -> Call:
        """Return the write of a worker after a call. A worker that lost its job names any call."""
        what = dice.one_of(OUTCOMES)
        job = self.world.get(("job", held.job))
        rows = [row for row in self._attempts() if row.job == held.job]
        if isinstance(job, JobRow) and held.holds(job):
            if job.cancel_requested_at is not None and dice.below(4):
                what = dice.one_of(OF_A_CANCELLED_RUN)
            rows = [row for row in rows if row.epoch == held.epoch]
            if what != "settle":  # a run ends with its last call
                rows = [r for r in rows if r.state == "started" and r.number == job.attempts]
        row = dice.one_of(rows) if rows and dice.below(4) else None
        ending = self._ending(row, "settled" if what in ANSWERED else dice.one_of(STATES), dice)
        attempt = row.id if row else None
        if what == "settle" and row:
            return Settle(held, row.id, ending)
        if what in {"settle", "release"}:
            counts_as_try, delay = bool(dice.below(2)), timedelta(seconds=30 * dice.below(2))
            return Release(held, delay, counts_as_try, attempt, ending)
        if what == "late":
            return Finish(held, "failed", attempt, ending, late=True)
        return Finish(held, what, attempt, ending)

    @staticmethod
    def _ending(row: AttemptRow | None, state: str, dice: Dice) -> Ending:
        """Shown text may be worth more than its call. A failed call costs nothing."""
        most = row.bound_micro if row else 0
        cost = 0 if state == "failed" else dice.below(most + 1)
        shown = dice.one_of(("T", "T", ""))
        return Ending(state, cost, bool(dice.below(3)), shown, dice.below(most + 3))

    def _make_room(self) -> None:
        """Commit until a connection is free and no dispatcher waits.

        A dispatcher skips locked jobs, so no other call starts while it waits.
        """
        while not self.idle() or any(
            isinstance(lane.call, DISPATCHES) for lane in self.under_way()
        ):
            self.end(self.open()[0], "COMMIT")

    def _may_sweep(self, call: Call) -> bool:
        """A dispatcher skips locked jobs. The model has no exact locks of calls that wait."""
        return not isinstance(call, DISPATCHES) or not self.under_way()

    def _submission(self, user: int, feature: str, key: str | None, *, marked: bool) -> Call:
        self.jobs.append(UUID(int=len(self.jobs) + 1))
        if key == "e":
            return SubmitOther(self.jobs[-1], user, feature, key)
        return Submit(self.jobs[-1], user, feature, key, marked)

    def _call(self, held: Held, bound: int) -> Call:
        self.begun += 1
        return Begin(held, UUID(int=2**64 + self.begun), bound, self.caps)

    def _run(self, dice: Dice) -> Held:
        """Return any run, mostly one that still holds its job."""
        mine = [held for held in self.claims if self._holds_job(held)]
        lost = [held for held in self.claims if held not in mine]
        first, second = (mine, lost) if dice.below(3) else (lost, mine)
        return dice.one_of(first or second)

    def _free_run(self, dice: Dice) -> Held | None:
        """Return any run whose worker is not in a call: each has one thread."""
        held = self._run(dice)
        busy = [getattr(lane.call, "held", None) for lane in self.lanes.all]
        return None if held in busy else held

    def _holds_job(self, held: Held) -> bool:
        row = self.world.get(("job", held.job))
        return isinstance(row, JobRow) and held.holds(row)

    def _has_evaluation(self) -> bool:
        return any(isinstance(row, JobRow) and not row.is_of_user for row in self.world.values())

    def _attempts(self) -> list[AttemptRow]:
        return [row for row in self.world.values() if isinstance(row, AttemptRow)]

    def _windows(self) -> list[WindowRow]:
        return [row for row in self.world.values() if isinstance(row, WindowRow)]

    def _moments(self) -> list[datetime]:
        """Return the later times at which a condition changes."""
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        moments = {midnight}
        for row in self.world.values():
            if isinstance(row, JobRow):
                moments |= {row.run_at, row.deadline_at}
                if row.expires_at is not None:
                    moments.add(row.expires_at)
                if row.lease_until is not None:
                    moments |= {row.lease_until, row.lease_until - LEASE * 2 / 3}
                    moments.add(row.deadline_at + LEASE)
                if row.published_at is not None:
                    moments.add(row.published_at + LOST_AFTER)
            if isinstance(row, WorkerRow):
                moments |= {row.seen_at + LEASE, row.seen_at + SEEN}
        return sorted(moment for moment in moments if moment > self.now)
