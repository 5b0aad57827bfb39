"""Time slots that make a tick run once, even if it is sent or delivered twice.

Two beats, or a beat that could not save its state, send a tick twice; a broker may deliver it
twice. The first run takes the slot. Work that may safely run twice does not need this.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection
from django.db.models.functions import Now

from aifeature.models import TickSlot
from aifeature.models.functions import database_now

KEPT: Final = timedelta(days=60)
"""Age at which a slot is deleted. No period is longer."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONDAY: Final = datetime(1970, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """Consecutive slots of equal length, in UTC."""

    length: timedelta
    first: datetime = _EPOCH
    """Start of any one slot."""

    def slot(self, moment: datetime) -> datetime:
        """Return the start of the slot that contains this moment."""
        return moment - (moment - self.first) % self.length


DAILY: Final = Period(timedelta(days=1))
WEEKLY: Final = Period(timedelta(weeks=1), _MONDAY)
"""Weeks in UTC, from Monday."""


def every(seconds: int) -> Period:
    """Return slots of this many seconds, counted from 1 January 1970, 00:00 UTC.

    Raises ValueError if they are not positive or longer than slots are kept.
    """
    length = timedelta(seconds=seconds)
    if not timedelta() < length <= KEPT:
        raise ValueError(f"a slot of {seconds} s: it must last from a second to {KEPT.days} days")
    return Period(length)


def claim(task: str, period: Period) -> bool:
    """Take the current slot of a task as `take` does. Return whether it was free."""
    return take(task, period) is not None


def take(task: str, period: Period) -> datetime | None:
    """Take the current slot of a task, by the database's clock.

    Return the start of the slot; None if it was already taken.

    A slot stays taken if the work fails; the next slot is the retry. Clocks differ, and a tick that
    is a second early finds the previous slot taken. So send a tick some time after its slot begins
    (a daily one not at midnight), or more often than slots begin.
    """
    slot = period.slot(database_now())
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO aifeature_tickslot (task, slot) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [task, slot],
        )
        return slot if cursor.rowcount else None


def prune() -> int:
    """Delete old slots. Return the number deleted."""
    deleted, _ = TickSlot.objects.filter(claimed_at__lt=Now() - KEPT).delete()
    return deleted
