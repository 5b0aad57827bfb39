"""The model of `windows.sql` and `settle_attempt.sql`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tests.books import OF_A_USER, counted, payer_of, windows_of
from tests.integration.machine.rows import JobRow, WindowRow
from tests.integration.machine.view import Refused, View

UNSURE: Final = frozenset({"estimated", "unknown"})
"""States of a call whose bill is not certain. A person may settle it."""

EVALS: Final = "_evals"
"""The payer of all calls of evaluations."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Micro-dollars a day or month, and concurrent calls of a user. None: no cap."""

    user: int | None
    feature: int | None
    everything: int | None
    month: int | None = None
    in_flight: int | None = None
    user_spend: int | None = None
    account: int | None = None

    def on(self, window: WindowRow) -> list[tuple[str, int, int]]:
        """Return the name, cap and counted spend for each cap of a window."""
        found = {
            "user": (
                ("user", self.user, window.spent_micro),
                ("user_spend", self.user_spend, window.own_spend_micro),
            ),
            "account": (("account", self.account, window.own_spend_micro),),
            "feature": (("feature", self.feature, window.spent_micro),),
            "global": (("global", self.everything, window.spent_micro),),
            "month": (("month", self.month, window.spent_micro),),
        }[window.scope]
        return [(name, cap, spent) for name, cap, spent in found if cap is not None]


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a provider call, as its worker reports it."""

    state: str
    cost: int
    by_user: bool = False
    shown: str = ""
    """Text that was delivered before the end."""
    worth: int = 0
    """The worth of that text in micro-dollars."""


def hold(view: View, job: JobRow, bound: int, caps: Caps) -> None:
    """Reserve the bound in all windows of today.

    Raises:
        Refused: a window has no room, the user has too many calls, or the feature is stopped.
    """
    with view.savepoint():
        user, payer = (job.user, job.feature) if job.is_of_user else (None, EVALS)
        for scope, key, day in windows_of(user, payer, view.now.date()):
            window = view.window(scope, key, day)
            limits = caps.on(window)
            if scope == "month" or all(bound <= cap for _, cap, _ in limits):
                view.lock(("window", scope, key, day))  # a call above the cap reads no window
            for name, cap, spent in limits:
                if spent + bound > cap:
                    raise Refused(f"budget_spent {name}")
            if any(spent + window.held_micro + bound > cap for _, cap, spent in limits):
                raise Refused(f"budget_held {scope}")
            view.change(window, held_micro=window.held_micro + bound)
            if scope == "account" and caps.in_flight is not None:
                mine = [
                    a for a in view.attempts() if (a.feature, a.user_id) == (job.feature, job.user)
                ]
                if sum(attempt.state == "started" for attempt in mine) >= caps.in_flight:
                    raise Refused("user_busy")
        if view.is_killed_now(job.feature):
            raise Refused("paused")


def close(
    view: View,
    attempt: UUID,
    ending: Ending,
    *,
    accepted: bool = False,
    worth: int = 0,
    code: str = "",
) -> int | None:
    """Close an open call and return the charge in micro-dollars; None: it was closed already.

    Its reservation becomes spend. An accepted answer is charged, and so is shown text, but nothing
    of an evaluation.
    """
    row = view.attempt(attempt)
    if row is None or row.state != "started":
        return None
    job = view.job(row.job)
    by_user = ending.by_user and job is not None and job.cancelled_by == "user"
    row = view.change(
        row,
        state=ending.state,
        cost_micro=ending.cost,
        tokens=ending.cost,
        code=code,
        own_spend=row.user_id is not None
        and (ending.state == "settled" or (ending.state in UNSURE and by_user)),
        ended_at=view.now,
    )
    spend = counted(row)
    charge = 0 if row.budget else ending.cost if accepted else min(worth, spend)
    for scope, key, day in windows_of(row.user_id, payer_of(row), row.day):
        window = view.window(scope, key, day)
        spent, own = (charge, row.own_spend * spend) if scope in OF_A_USER else (spend, 0)
        view.change(
            window,
            held_micro=window.held_micro - row.bound_micro,
            spent_micro=window.spent_micro + spent,
            own_spend_micro=window.own_spend_micro + own,
        )
    return charge


def close_unseen(view: View, job: UUID, code: str) -> None:
    """Close the open calls of a lost run: spend at the bound, and no charge."""
    for row in view.open_attempts(job):
        close(view, row.id, Ending("unknown", 0), code=code)
