"""The model of `windows.sql` and `settle_attempt.sql`."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from tests.integration.machine.rows import AttemptRow, JobRow
from tests.integration.machine.view import Refused, View


@dataclass(frozen=True, slots=True)
class Caps:
    """Micro-dollars per day; None is no cap."""

    user: int | None
    feature: int | None
    everything: int | None

    def of(self, scope: str) -> int | None:
        return {"user": self.user, "feature": self.feature, "global": self.everything}[scope]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a provider call ended."""

    state: str
    cost: int


def scopes(row: JobRow | AttemptRow) -> tuple[tuple[str, str], ...]:
    """The windows a job's calls are counted in."""
    return ("user", f"{row.feature}:{row.user}"), ("feature", row.feature), ("global", "")


def hold(view: View, job: JobRow, bound: int, caps: Caps) -> None:
    """Reserve in the windows of today, or in none.

    Raises:
        Refused: the verdict of the first window without room.
    """
    today = view.now.date()
    with view.savepoint():
        for scope, key in scopes(job):
            window = view.window(scope, key, today)
            cap = caps.of(scope)
            if cap is None or bound <= cap:  # what can never fit looks at no window
                view.lock(("window", scope, key, today))
            if cap is not None and window.spent + bound > cap:
                raise Refused(f"budget_spent {scope}")
            if cap is not None and window.spent + window.held + bound > cap:
                raise Refused(f"budget_held {scope}")
            view.change(window, held=window.held + bound)


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
    for scope, key in scopes(row):
        window = view.window(scope, key, row.day)
        counted = spend if scope != "user" else ending.cost if charge else 0
        view.change(window, held=window.held - row.bound, spent=window.spent + counted)
    return True


def close_unseen(view: View, job: UUID, code: str) -> None:
    """Nobody waits for these calls any more: spend at the bound, charged to nobody."""
    for row in view.open_attempts(job):
        settle(view, row.id, Ending("unknown", 0), charge=False, code=code)
