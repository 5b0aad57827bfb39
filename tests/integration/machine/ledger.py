"""The model of `windows.sql` and `settle_attempt.sql`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from tests.integration.machine.rows import AttemptRow, JobRow
from tests.integration.machine.view import Refused, View


@dataclass(frozen=True, slots=True)
class Caps:
    """Micro-dollars per day and month, and calls of a user at once; None is no cap."""

    user: int | None
    feature: int | None
    everything: int | None
    month: int | None = None
    in_flight: int | None = None

    def of(self, scope: str) -> int | None:
        return {
            "user": self.user,
            "feature": self.feature,
            "global": self.everything,
            "month": self.month,
        }[scope]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a provider call ended."""

    state: str
    cost: int


def windows_of(row: JobRow | AttemptRow, day: date) -> tuple[tuple[str, str, date], ...]:
    """The windows a job's calls of a day are counted in: scope, key, day."""
    return (
        ("user", f"{row.feature}:{row.user}", day),
        ("feature", row.feature, day),
        ("global", "", day),
        ("month", "", day.replace(day=1)),
    )


def hold(view: View, job: JobRow, bound: int, caps: Caps) -> None:
    """Reserve in the windows of today, or in none.

    Raises:
        Refused: the verdict of the first window without room, or of what else is in the way.
    """
    with view.savepoint():
        for scope, key, day in windows_of(job, view.now.date()):
            window = view.window(scope, key, day)
            cap = caps.of(scope)
            if scope == "month" or cap is None or bound <= cap:
                view.lock(("window", scope, key, day))  # what can never fit looks at no window
            if cap is not None and window.spent + bound > cap:
                raise Refused(f"budget_spent {scope}")
            if cap is not None and window.spent + window.held + bound > cap:
                raise Refused(f"budget_held {scope}")
            view.change(window, held=window.held + bound)
            if scope == "user" and caps.in_flight is not None:
                mine = [
                    a for a in view.attempts() if (a.feature, a.user) == (job.feature, job.user)
                ]
                if sum(attempt.state == "started" for attempt in mine) >= caps.in_flight:
                    raise Refused("user_busy")
        if view.is_killed_now(job.feature):
            raise Refused("paused")


UNSURE: Final = ("unknown", "estimated")
"""States of a call that may still be settled."""


def counted(row: AttemptRow) -> int:
    """What a closed call counts as spent."""
    return row.bound if row.state == "unknown" else row.cost


def settle(view: View, attempt: UUID, ending: Ending, *, charge: bool, code: str = "") -> bool:
    """Close a call that is open: its reservation becomes spend, and charge if it is accepted."""
    row = view.attempt(attempt)
    if row is None or row.state != "started":
        return False
    view.change(
        row,
        state=ending.state,
        cost=ending.cost,
        tokens=ending.cost,
        code=code,
        ended_at=view.now,
    )
    spend = row.bound if ending.state == "unknown" else ending.cost
    for scope, key, day in windows_of(row, row.day):
        window = view.window(scope, key, day)
        counted = spend if scope != "user" else ending.cost if charge else 0
        view.change(window, held=window.held - row.bound, spent=window.spent + counted)
    return True


def close_unseen(view: View, job: UUID, code: str) -> None:
    """Nobody waits for these calls any more: spend at the bound, charged to nobody."""
    for row in view.open_attempts(job):
        settle(view, row.id, Ending("unknown", 0), charge=False, code=code)
