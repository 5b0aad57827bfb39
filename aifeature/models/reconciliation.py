"""Holds the spend windows against the ledger. The function stands in `sql/reconcile.sql`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from aifeature.models.functions import rows


@dataclass(frozen=True, slots=True)
class Drift:
    """A window that is not the sum of the ledger; in micro-dollars by how much it is too high."""

    scope: str
    key: str
    day: date
    spent_micro: int
    held_micro: int
    own_spend_micro: int
    """What counts towards the spend cap of the window's user; 0 in other windows."""


def reconcile(since: date, *, repair: bool) -> list[Drift]:
    """The windows of this day and later that differ, and their months; `repair` puts them right."""
    return [Drift(*row) for row in rows("aif_reconcile_windows", since, repair)]
