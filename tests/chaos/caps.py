"""Keeps the shared caps just above what is settled, so that reservations are in the way.

Caps rise with settled spend alone. Spend that is only a ceiling, `estimated` and `unknown`, must
fit into a fixed room for the whole run, however many faults leave calls without an end, and into
what the malicious user may spend.

Caps only rise, so what is spent and held may never be above the cap of that moment, whenever a
process has read it.
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
"""Cents that each cap leaves above what is settled. A call of the first model reserves a tenth of
one, one of the second, asked while a breaker is open, almost two; there are 32 threads."""

PHANTOM_CENTS: Final = 200
"""Cents for spend that is only a ceiling, from the first fault that leaves calls without an end
until the run is over. Six long runs, each with some twenty such faults, left 21 to 89 cents."""

LEAVES_CALLS_OPEN: Final = (
    STORMS
    | PROVIDER_AWAY
    | POSTGRES_AWAY
    | SWITCHES
    | {Kind.LLM_KILL, Kind.LLM_STOP, Kind.ROLLING_RESTART}
)
"""Faults after which nobody knows what some calls cost."""

OWN_SPEND_FACTOR: Final = 2
"""A user's default spend cap, as a multiple of what the user may be charged."""

WHERE: Final = {
    "feature": (FEATURE, "daily_budget_usd"),
    "global": (GLOBAL, "daily_budget_usd"),
    "month": (GLOBAL, "monthly_budget_usd"),
}
"""The control row and field of each."""

_SETTLED: Final = """
SELECT coalesce(sum(cost_micro), 0)::bigint FROM aifeature_attempt WHERE state = 'settled'
"""


def room_cents(faults: Sequence[Done], *, attack_cents: int) -> int:
    """Cents for spend that is only a ceiling.

    Args:
        faults: Those that have begun.
        attack_cents: What the malicious user may spend; 0 before the attack.
    """
    is_any_open = any(done.kind in LEAVES_CALLS_OPEN for done in faults)
    return PHANTOM_CENTS * is_any_open + attack_cents


def settled_micro(connection: psycopg.Connection) -> int:
    """Micro-dollars that are known to be on the bill."""
    row = connection.execute(_SETTLED).fetchone()
    assert row is not None
    return int(row[0])


class CapRaiser:
    """Raises caps until it is stopped."""

    def __init__(self, stack: Stack, room: Callable[[], int]) -> None:
        """Prepare; `room` returns the cents of `room_cents` at this moment."""
        self._stack = stack
        self._room = room
        self._cents: dict[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cap_raiser", daemon=True)

    def start(self) -> None:
        """Set the first caps, then go on in a thread."""
        self._raise(0)
        self._thread.start()

    def stop(self) -> None:
        """Leave the caps as they are."""
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
