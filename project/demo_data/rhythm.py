"""When requests arrive: the hours of a working day, and quiet weekends. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

HOUR: Final = timedelta(hours=1)

_DAY: Final = (
    *(1, 1, 1, 1, 1, 2, 5, 12, 22, 28, 28, 24),
    *(20, 25, 28, 26, 22, 16, 11, 9, 7, 5, 3, 2),
)
"""Weights of the hours of a day, in UTC."""

_WEEK: Final = (1.05, 1.1, 1.08, 1.0, 0.87, 0.26, 0.3)
"""Weights of the days of a week, from Monday."""


def moments(
    begin: datetime, end: datetime, *, per_day: float, rng: random.Random
) -> Iterator[datetime]:
    """Yield the times of requests in order.

    Args:
        begin: The first possible time, in UTC.
        end: All times are before it.
        per_day: Requests of a working day of weight 1.
        rng: Decides the minutes within an hour. The number of requests of an hour is certain.
    """
    owed = 0.0
    at = begin
    while at < end:
        until = min(end, at.replace(minute=0, second=0, microsecond=0) + HOUR)
        owed += per_day * weight(at) * ((until - at) / HOUR)
        count = int(owed)
        owed -= count
        yield from sorted(at + (until - at) * rng.random() for _ in range(count))
        at = until


def weight(at: datetime) -> float:
    """Return the share of a working day's requests that arrive in the hour of this time."""
    return _WEEK[at.weekday()] * _DAY[at.hour] / sum(_DAY)


def working_day(at: datetime) -> datetime:
    """Return the same time, on the Friday before if it is on a weekend."""
    return at - timedelta(days=max(0, at.weekday() - 4))


class Share:
    """Takes a certain share of the items of a sequence, evenly spread: every part has that share.

    >>> each = Share()
    >>> [each.takes(0.25) for _ in range(8)]
    [False, False, False, True, False, False, False, True]
    """

    def __init__(self) -> None:
        self._owed = 0.0

    def takes(self, share: float) -> bool:
        """Return whether the next item is among the share."""
        self._owed += share
        if self._owed < 1 - 1e-9:
            return False
        self._owed -= 1
        return True
