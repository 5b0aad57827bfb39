"""The amounts of spend windows."""

from __future__ import annotations

from datetime import UTC, date, datetime

from aifeature.models import SpendWindow

Amount = tuple[int, int]
"""Micro-dollars that are spent, and that are held."""


def today() -> date:
    return datetime.now(UTC).date()


def windows() -> dict[str, Amount]:
    """Return the amounts by scope, without those of accounts."""
    rows = SpendWindow.objects.exclude(scope="account")
    return {w.scope: (w.spent_micro, w.held_micro) for w in rows}


def of_a_call(spent: int, held: int = 0, *, charged: int = 0) -> dict[str, Amount]:
    """Return the expected `windows` after calls of one job: its user is charged apart."""
    both = (spent, held)
    return {"user": (charged, held), "feature": both, "global": both, "month": both}
