"""Keeps the shared caps just above settled spend, so that calls compete for the room below them.

Caps rise with settled spend alone. Phantom spend, `estimated` and `unknown`, must fit into a fixed
room for the whole run and into the budget of the malicious user, however many faults leave calls
open. Caps never fall, so spent and held may never exceed the cap of the moment, even for a process
that read the cap earlier.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import psycopg

from tests.chaos.plan import POSTGRES_AWAY, PROVIDER_AWAY, STORMS, SWITCHES, Kind
from tests.chaos.scenario import FEATURE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.injector import Done
    from tests.chaos.stack import Stack

GLOBAL: Final = "_everything"
CENT: Final = 10_000
"""Micro-dollars."""

RAISE_S: Final = 0.2

ROOM: Final = {"feature": 4, "global": 5, "month": 6}
"""Cents of each cap above settled spend. A call of the first model reserves a tenth of a cent, one
of the fallback almost two; there are 32 threads."""

PHANTOM_CENTS: Final = 200
"""Cents for phantom spend, from the first fault that leaves calls open until the end of the run.
Six long runs, each with about twenty such faults, left 21 to 89 cents."""

LEAVES_CALLS_OPEN: Final = (
    STORMS
    | PROVIDER_AWAY
    | POSTGRES_AWAY
    | SWITCHES
    | {Kind.LLM_KILL, Kind.LLM_STOP, Kind.ROLLING_RESTART}
)
"""Faults after which the cost of some calls is unknown."""

OWN_SPEND_FACTOR: Final = 2
"""A user's default spend cap, as a multiple of what the user may be charged."""

WHERE: Final = {
    "feature": (FEATURE, "daily_budget_usd"),
    "global": (GLOBAL, "daily_budget_usd"),
    "month": (GLOBAL, "monthly_budget_usd"),
}
"""Control row and field of each cap."""

_SETTLED: Final = """
SELECT coalesce(sum(cost_micro), 0)::bigint FROM aifeature_attempt WHERE state = 'settled'
"""


def room_cents(faults: Sequence[Done], *, attack_cents: int) -> int:
    """Return the cents for phantom spend.

    `faults` are those that have begun. `attack_cents` is the budget of the malicious user; 0 before
    the attack.
    """
    is_any_open = any(done.kind in LEAVES_CALLS_OPEN for done in faults)
    return PHANTOM_CENTS * is_any_open + attack_cents


def settled_micro(connection: psycopg.Connection) -> int:
    row = connection.execute(_SETTLED).fetchone()
    assert row is not None
    return int(row[0])


class CapRaiser:
    """Thread that raises the caps."""

    def __init__(self, stack: Stack, room: Callable[[], int]) -> None:
        """`room` returns the current cents of `room_cents`."""
        self._stack = stack
        self._room = room
        self._cents: dict[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="caps", daemon=True)

    def start(self) -> None:
        self._raise(0)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(RAISE_S):
            try:
                with self._stack.database() as connection:
                    settled = settled_micro(connection)
            except psycopg.OperationalError:
                continue
            self._raise(settled)

    def _raise(self, settled: int) -> None:
        room = self._room()
        for slug in (FEATURE, GLOBAL):
            raised = {}
            for scope, least in ROOM.items():
                cents = settled // CENT + least + room
                if WHERE[scope][0] == slug and cents > self._cents.get(scope, 0):
                    self._cents[scope] = cents
                    raised[WHERE[scope][1]] = f"{cents // 100}.{cents % 100:02d}"
            if raised:
                self._stack.staff.budget(slug, raised)
