"""Snapshots of the database, and the comparison of the spend windows with the ledger.

The state machine (`integration/machine`) and the chaos checks use both. The product's reconciler
computes the same sums in SQL, over two days and by an index. It stays separate, so that each finds
mistakes of the other: `integration/spend/test_books.py` compares their results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from psycopg import Connection, IsolationLevel
from psycopg.pq import TransactionStatus
from psycopg.rows import RowFactory

if TYPE_CHECKING:
    from tests.chaos.evidence import Attempt, Job, Window
    from tests.integration.machine.rows import AttemptRow, JobRow, WindowRow

OF_A_USER: Final = frozenset({"user", "account"})
"""Scopes of windows whose `spent` is charges. Their user's own spend is a separate sum."""

Day = TypeVar("Day", bound=date | str)
Name = TypeVar("Name")
Key = tuple[str, str, date | str]
"""The scope, key and day of a window."""


class Sums(NamedTuple):
    """Figures of a window, in micro-dollars."""

    spent: int
    held: int
    own: int


def read(
    connection: Connection[Any], queries: Mapping[Name, tuple[RowFactory[Any], str]]
) -> dict[Name, list[Any]]:
    """Return the rows of each query by its name, all as of one point in time.

    Inside a transaction of the caller, its isolation level decides.
    """
    if connection.info.transaction_status is TransactionStatus.IDLE:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
    cursors = {name: connection.cursor(row_factory=make) for name, (make, _) in queries.items()}
    with connection.pipeline(), connection.transaction():
        for name, (_, query) in queries.items():
            cursors[name].execute(query.encode(), prepare=True)
    return {name: cursor.fetchall() for name, cursor in cursors.items()}


def counted(call: AttemptRow | Attempt) -> int:
    """Return the spend of a call that has ended, in micro-dollars."""
    return call.bound_micro if call.state == "unknown" else call.cost_micro


def payer_of(call: AttemptRow | Attempt) -> str:
    """Return the key of the `feature` window that pays for a call."""
    return call.budget or call.feature


def windows_of(user: int | None, payer: str, day: Day) -> list[tuple[str, str, Day]]:
    """Return the windows that count a call: scope, key, day. Probes and
    calls of evaluations have no user."""
    month: Any = day.replace(day=1) if isinstance(day, date) else f"{day[:7]}-01"
    users = [("user", f"{payer}:{user}", day), ("account", str(user), day)]
    return [
        *(users if user is not None else []),
        *(("feature", payer, day), ("global", "", day), ("month", "", month)),
    ]


def differences(
    jobs: Iterable[JobRow | Job],
    calls: Iterable[AttemptRow | Attempt],
    windows: Iterable[WindowRow | Window],
) -> dict[Key, Sums]:
    """Return the windows that differ from the ledger: the window's figures minus the ledger's.

    The charge of a job is in the windows of its last call, unless that is open or failed.
    """
    charges = {(str(job.id), job.attempts): job.charge_micro for job in jobs}
    found: dict[Key, list[int]] = {
        (w.scope, w.key, w.day): [w.spent_micro, w.held_micro, w.own_spend_micro] for w in windows
    }
    for call in calls:
        is_open = call.state == "started"
        spend = 0 if is_open else counted(call)
        may_charge = call.state not in {"started", "failed"}
        charge = charges.get((str(call.job), call.number), 0) if may_charge else 0
        for key in windows_of(call.user_id, payer_of(call), call.day):
            is_users = key[0] in OF_A_USER
            sums = found.setdefault(key, [0, 0, 0])
            sums[0] -= charge if is_users else spend
            sums[1] -= call.bound_micro if is_open else 0
            sums[2] -= spend if is_users and call.own_spend else 0
    return {key: Sums(*sums) for key, sums in found.items() if any(sums)}
