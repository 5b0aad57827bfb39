"""When a failed message is tried again. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

FIRST: Final = timedelta(seconds=10)
LONGEST: Final = timedelta(minutes=15)
JITTER: Final = 0.2
"""Largest share by which a wait is longer, so that channels of one service spread out."""

PROBE: Final = timedelta(minutes=1)
"""Longest wait of a channel that fails. Its messages take turns, so a new one is tried soon."""

GIVEN_UP_AFTER: Final = timedelta(hours=24)
DOWN_AFTER: Final = timedelta(minutes=15)
"""Failures for this long open `channel_down`. It is the time after which an alert is escalated: a
channel that cannot notify is as urgent as an alert that was not seen."""

AHEAD: Final = LONGEST * (1 + JITTER)
"""The longest wait. A later time is from a clock that was ahead."""

_MOST_DOUBLINGS: Final = 16


def message_wait(tries: int, jitter: float) -> timedelta:
    """Return how long a message waits after its nth failed try. `jitter` is from 0 to 1.

    >>> [message_wait(tries, 0).total_seconds() for tries in (1, 2, 3, 9)]
    [10.0, 20.0, 40.0, 900.0]
    """
    doubled: timedelta = FIRST * (1 << min(max(tries, 1) - 1, _MOST_DOUBLINGS))
    return min(doubled, LONGEST) * (1 + JITTER * jitter)


def is_due(next_at: datetime, now: datetime) -> bool:
    """Return whether a wait is over, or ends at a time that only a wrong clock can have stored."""
    return next_at <= now or next_at > now + AHEAD


def channel_wait(failures: int, jitter: float) -> timedelta:
    """Return how long a channel is left alone after its nth failure in a row."""
    return min(message_wait(failures, jitter), PROBE)
