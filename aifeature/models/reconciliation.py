"""Compares the spend windows with the ledger. The SQL function is in `sql/reconcile.sql`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from aifeature.models.functions import rows


@dataclass(frozen=True, slots=True)
class Drift:
    """A window that differs from the ledger's sum. Amounts: window minus sum, in micro-dollars."""

    scope: str
    key: str
    day: date
    spent_micro: int
    held_micro: int
    own_spend_micro: int
    """Own spend of the window's user; 0 in other windows."""


def reconcile(since: date, *, repair: bool) -> list[Drift]:
    """Return the windows since this day, and their months, that differ. `repair` corrects them."""
    return [Drift(*row) for row in rows("aif_reconcile_windows", since, repair)]
