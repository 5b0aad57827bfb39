"""Somebody who keeps every cap just above what is spent, so that reservations are in the way.

Caps only rise, so what is spent and held may never be above the cap of that moment, whenever a
process has read it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import psycopg

from tests.chaos.errand import FEATURE

if TYPE_CHECKING:
    from tests.chaos.stack import Stack

EVERYTHING: Final = "_everything"
CENT: Final = 10_000
"""Micro-dollars."""

RAISE_S: Final = 0.2

ROOM: Final = {"feature": 4, "global": 5, "month": 6}
"""Cents that each cap leaves above what is spent. A call of the first model reserves a tenth of
one, one of the second, asked while a breaker is open, almost two; there are 32 threads."""

WHERE: Final = {
    "feature": (FEATURE, "daily_budget_usd"),
    "global": (EVERYTHING, "daily_budget_usd"),
    "month": (EVERYTHING, "monthly_budget_usd"),
}
"""The control row and field of each."""

_SPENT: Final = """
SELECT scope, max(spent_micro) FROM aifeature_spendwindow WHERE scope <> 'user' GROUP BY scope
"""


class Treasurer:
    """Raises caps until it is stopped."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._cents: dict[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="treasurer", daemon=True)

    def start(self) -> None:
        """Set the first caps, then go on in a thread."""
        self._raise({})
        self._thread.start()

    def stop(self) -> None:
        """Leave the caps as they are."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(RAISE_S):
            try:
                with self._stack.database() as connection:
                    rows = connection.execute(_SPENT).fetchall()
            except psycopg.OperationalError:
                continue
            self._raise(dict(rows))

    def _raise(self, spent: dict[str, int]) -> None:
        for slug in (FEATURE, EVERYTHING):
            raised = {}
            for scope, room in ROOM.items():
                cents = spent.get(scope, 0) // CENT + room
                if WHERE[scope][0] == slug and cents > self._cents.get(scope, 0):
                    self._cents[scope] = cents
                    raised[WHERE[scope][1]] = f"{cents // 100}.{cents % 100:02d}"
            if raised:
                self._stack.staff.budget(slug, raised)
