"""When an alert about a number opens and closes. Pure.

A red number opens it immediately. Only a number that was green for a while without a break closes
it. Missing and amber numbers keep it open, unless the feature is turned off and nothing is left to
count: then it would stay open for ever. An alert that opened again within a day needs twice the
time for each earlier one. So a number that swings alerts a few times a day, and one that is red is
never hidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aifeature.models import Level

GREEN_S: Final = 15 * 60
"""Green seconds without a break that close an alert."""

MOST_GREEN_S: Final = 4 * 3_600
"""The longest such time, for an alert that opened many times."""

REMEMBERED_S: Final = 24 * 3_600
"""Seconds for which an earlier alert about the same number counts."""

LONGEST_GAP_S: Final = 300
"""Seconds between two checks that break a green time: nothing was observed meanwhile."""

ROLL_BACK_AGAIN_S: Final = 24 * 3_600
"""Seconds after a roll-back because of a number before the same number may roll back again."""

_MOST_DOUBLED: Final = 10

MOST_TRIES: Final = 10
"""Tries of an action that fails, one for each check."""


class Step(StrEnum):
    """The move of a check about one number."""

    NOTHING = "nothing"
    OPEN = "open"
    KEEP = "keep"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Seen:
    """A number at one check, with its alert."""

    level: Level | None
    """None: too few data, or data that are too old."""
    is_open: bool
    """Whether an alert about it is open."""
    green_s: float = 0
    """Seconds for which it has been green without a break."""
    openings: int = 1
    """Alerts about it in the last day, with the open one."""
    is_idle: bool = False
    """Whether the feature is turned off, and its window holds nothing any more."""


def step(seen: Seen) -> Step:
    """Return what follows for the alert.

    >>> step(Seen(Level.GREEN, is_open=True, green_s=899))
    <Step.KEEP: 'keep'>
    """
    if not seen.is_open:
        return Step.OPEN if seen.level is Level.RED else Step.NOTHING
    if seen.is_idle:
        return Step.CLOSE
    if seen.level is Level.GREEN and seen.green_s >= needed_s(seen.openings):
        return Step.CLOSE
    return Step.KEEP


def needed_s(openings: int) -> int:
    """Return the green seconds that close an alert, the last one of `openings` in a day."""
    return min(MOST_GREEN_S, GREEN_S << max(0, min(openings, _MOST_DOUBLED) - 1))
