# ruff: noqa: E501 (SQL as in the files)
"""Every function locks in one order: job, user, account, feature, global, month.

Two calls that lock in different orders can wait for each other; random calls rarely do. Here a
session holds one row at a time, and the test reads which rows a call that waits for it has locked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest

from tests.integration.machine.calls import LEASE, Cancel, Claim, SettleUnknown, Statement, Submit
from tests.integration.machine.database import FEATURES, USERS, without_guard
from tests.integration.machine.held_calls import Begin, Finish, Held, Release, Settle
from tests.integration.machine.keeper_calls import GiveBack
from tests.integration.machine.lanes import TIMEOUT_S, Lanes
from tests.integration.machine.ledger import Caps, Ending
from tests.integration.machine.mutations import Edit, Mutation, mutations_of
from tests.integration.machine.sweep_calls import EndAbandoned
from tests.integration.machine.transactions import EVENING

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]

Session = psycopg.Connection[tuple[Any, ...]]

ORDER: Final = ("job", "user", "account", "feature", "global", "month")
JOB, CALL = UUID(int=1), UUID(int=2**64 + 1)
RUN: Final = Held(JOB, 1)
CUT: Final = Ending("estimated", 2, by_user=True, shown="T", worth=1)
NO_CAPS: Final = Caps(None, None, None)
LATE: Final = EVENING + LEASE * 20
"""The lease has ended and the deadline has passed; it is another day."""


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Correct every window in one call."""

    def statement(self, now: object) -> Statement:
        return "SELECT * FROM aif_reconcile_windows(%s, true)", (EVENING.date(),)


CALLS: Final[dict[str, tuple[Any, tuple[str, ...]]]] = {
    "begin": (Begin(RUN, UUID(int=2**64 + 2), 3, NO_CAPS), ORDER),
    "settle": (Settle(RUN, CALL, CUT), ORDER),
    "finish": (Finish(RUN, "cancelled", CALL, CUT), ORDER),
    "release": (Release(RUN, LEASE, False, CALL, CUT), ORDER),
    # These skip a locked job.
    "take over": (Claim(JOB, "w2"), ORDER[1:]),
    "give back": (GiveBack(RUN), ORDER[1:]),
    "end abandoned": (EndAbandoned(), ORDER[1:]),
    "settle unknown": (SettleUnknown(CALL, 1), ORDER[1:]),
    "reconcile": (Reconcile(), ORDER[1:]),
}
"""Each call and the rows it locks."""

_SETTLEMENT: Final = "BEGIN\n    UPDATE aifeature_spendwindow w\n       SET held_micro = greatest(0, w.held_micro - p_held),\n           spent_micro = greatest(0, w.spent_micro + p_charge)"
_LOCK_ACCOUNT: Final = "BEGIN\n    PERFORM 1 FROM aifeature_spendwindow t\n      WHERE t.scope = 'account' AND t.key = p_user::text AND t.day = p_day FOR UPDATE;"

ORDER_MUTATIONS: Final = mutations_of(
    {
        "windows": {
            "a settlement locks the account first": Edit(
                _SETTLEMENT, _SETTLEMENT.replace("BEGIN", _LOCK_ACCOUNT)
            ),
            "begin locks the account first": Edit(
                "    w aifeature_spendwindow%ROWTYPE;\nBEGIN\n    INSERT",
                f"    w aifeature_spendwindow%ROWTYPE;\n{_LOCK_ACCOUNT}\n    INSERT",
            ),
        },
        "settle_attempt": {
            "a settlement locks everything before the feature": Edit(
                "PERFORM aif_move_hold('feature', payer, a.day, a.bound_micro, spend);\n    PERFORM aif_move_hold('global', '', a.day, a.bound_micro, spend);",
                "PERFORM aif_move_hold('global', '', a.day, a.bound_micro, spend);\n    PERFORM aif_move_hold('feature', payer, a.day, a.bound_micro, spend);",
            ),
        },
        "begin_attempt": {
            "begin locks the feature before the user": Edit(
                "PERFORM aif_hold_of_user(",
                "PERFORM aif_hold('feature', j.feature, today, 0, NULL);\n            PERFORM aif_hold_of_user(",
            ),
        },
        "settle_unknown": {
            "a later settlement locks everything before the feature": Edit(
                "PERFORM aif_move_hold('feature', payer, a.day, 0, more);\n    PERFORM aif_move_hold('global', '', a.day, 0, more);",
                "PERFORM aif_move_hold('global', '', a.day, 0, more);\n    PERFORM aif_move_hold('feature', payer, a.day, 0, more);",
            ),
        },
        "reconcile": {
            "reconcile locks accounts first": Edit(
                "ARRAY['user', 'account',", "ARRAY['account', 'user',"
            ),
        },
    }
)


@pytest.fixture
def sessions(database_url: str) -> Iterator[list[Session]]:
    """One that makes the call, one that holds a row, and one that reads the locks."""
    with ExitStack() as exits:
        yield [
            exits.enter_context(psycopg.connect(database_url, autocommit=True)) for _ in range(3)
        ]


def _now(session: Session, moment: object) -> None:
    session.execute(f"SET fake_clock.now = '{moment}'".encode())


def _make(session: Session, call: Any) -> None:
    statement, parameters = call.statement(EVENING)
    session.execute(statement.encode(), parameters)


def _prepare(session: Session, name: str) -> None:
    """Make a run with an open call. For some calls its user has cancelled or its lease has ended."""
    _now(session, EVENING)
    _make(session, Submit(JOB, USERS[0], FEATURES[0], None, marked=False))
    _make(session, Claim(JOB, "w1"))
    _make(session, Begin(RUN, CALL, 5, NO_CAPS))
    match name:
        case "finish":
            _make(session, Cancel(JOB, USERS[0], "C"))
        case "settle unknown":  # the call is its user's own spend
            _make(session, Cancel(JOB, USERS[0], "C"))
            _make(session, Settle(RUN, CALL, CUT))
        case "reconcile":
            session.execute("UPDATE aifeature_spendwindow SET held_micro = held_micro + 1")
        case "take over" | "end abandoned":
            _now(session, LATE)


def _lock(session: Session, scope: str) -> None:
    session.execute("BEGIN")
    if scope == "job":
        session.execute("SELECT 1 FROM aifeature_job FOR UPDATE")
    else:
        session.execute("SELECT 1 FROM aifeature_spendwindow WHERE scope = %s FOR UPDATE", [scope])


def _free(session: Session) -> set[str]:
    """Return the rows that no session has locked."""
    windows = session.execute(
        "SELECT scope FROM aifeature_spendwindow FOR UPDATE SKIP LOCKED"
    ).fetchall()
    jobs = session.execute("SELECT 'job' FROM aifeature_job FOR UPDATE SKIP LOCKED").fetchall()
    return {row[0] for row in (*windows, *jobs)}


def _wait_until_it_waits(session: Session, pid: int) -> None:
    give_up = time.monotonic() + TIMEOUT_S
    while not session.execute("SELECT cardinality(pg_blocking_pids(%s))", [pid]).fetchall()[0][0]:
        assert time.monotonic() < give_up, "it waits for nothing"
        time.sleep(0.002)


def _check(lanes: Lanes, sessions: list[Session], name: str) -> None:
    """Hold each row of the call's order in turn. The later rows must be free while the call waits."""
    caller, holder, observer = sessions
    call, order = CALLS[name]
    for place, scope in enumerate(order):
        lanes.reset()
        _prepare(caller, name)
        _lock(holder, scope)
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(_make, caller, call)
            try:
                _wait_until_it_waits(observer, caller.info.backend_pid)
                free = _free(observer) & set(order)
            finally:
                holder.execute("ROLLBACK")
            answer.result()
        assert free == set(order[place + 1 :]), f"{name} waits for {scope}, and {free} are free"


def _check_all(lanes: Lanes, sessions: list[Session]) -> None:
    for name in CALLS:
        _check(lanes, sessions, name)


@pytest.mark.parametrize("name", CALLS)
def test_each_call_locks_its_rows_in_the_common_order(
    lanes: Lanes, sessions: list[Session], name: str
) -> None:
    _check(lanes, sessions, name)


@pytest.mark.parametrize("mutation", ORDER_MUTATIONS, ids=lambda mutation: mutation.name)
def test_another_order_is_found(
    database_url: str, lanes: Lanes, sessions: list[Session], mutation: Mutation
) -> None:
    with without_guard(database_url, mutation), pytest.raises(AssertionError, match="are free"):
        _check_all(lanes, sessions)
