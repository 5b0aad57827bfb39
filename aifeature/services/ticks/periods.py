"""Makes a tick that is sent twice run once: whoever takes its slot of time first runs it.

Two beats, or a beat that could not save, send a tick twice, and a broker may deliver it twice.
Work that may run any number of times needs none of this.
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
"""How long a slot is remembered. No period is longer."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MONDAY: Final = datetime(1970, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Period:
    """Slots of equal length, one after the other without a gap, in UTC."""

    length: timedelta
    first: datetime = _EPOCH
    """When any one of them begins."""

    def slot(self, moment: datetime) -> datetime:
        """When the slot that holds this moment began."""
        return moment - (moment - self.first) % self.length


DAILY: Final = Period(timedelta(days=1))
"""Days in UTC."""

WEEKLY: Final = Period(timedelta(weeks=1), _MONDAY)
"""Weeks in UTC, from Monday."""


def every(seconds: int) -> Period:
    """Slots of this many seconds, counted from midnight 1 January 1970 UTC.

    Raises:
        ValueError: there is no such slot, or it is longer than slots are remembered.
    """
    length = timedelta(seconds=seconds)
    if not timedelta() < length <= KEPT:
        raise ValueError(f"a slot of {seconds} s: it must last from a second to {KEPT.days} days")
    return Period(length)


def claim(task: str, period: Period) -> bool:
    """Take the current slot of a task, by the database's clock. False: it was taken before.

    A slot stays taken if the work then fails: the next slot's tick is the next try. Send ticks
    some way into the slot (a daily one not at midnight), or better more often than slots begin:
    clocks differ, and a tick that comes a second too early finds the slot before taken.
    """
    slot = period.slot(database_now())
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO aifeature_tickslot (task, slot) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [task, slot],
        )
        return bool(cursor.rowcount)


def prune() -> int:
    """Forget slots of long ago. Returns how many."""
    deleted, _ = TickSlot.objects.filter(claimed_at__lt=Now() - KEPT).delete()
    return deleted
