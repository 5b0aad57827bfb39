"""Periods in which kill switches held jobs, from the audit log of their flips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aifeature.models import ControlChange, FeatureControl
from aifeature.services.controls.switch_state import ALL

_FIELDS: Final = ("killed", "release_percent")


@dataclass(frozen=True, slots=True)
class Hold:
    """A period in which one switch was on for some or all users."""

    feature: str
    """A slug, or GLOBAL."""
    begins: datetime
    ends: datetime | None
    """None while it is still on."""
    percent: int
    """Percentage of users not held; 0 while the switch was pulled."""


@dataclass(frozen=True, slots=True)
class Flip:
    """One change of a switch."""

    field: str
    """`killed`, as 0 or 1, or `release_percent`."""
    old: int
    new: int
    at: datetime


def holds(since: datetime) -> list[Hold]:
    """Return the holds since then, with two queries. Earlier holds begin at `since`."""
    now = {
        row.feature: {"killed": int(row.killed), "release_percent": row.release_percent}
        for row in FeatureControl.objects.only("feature", *_FIELDS)
    }
    changes = ControlChange.objects.filter(feature__in=list(now), field__in=_FIELDS, at__gte=since)
    flips: dict[str, list[Flip]] = {name: [] for name in now}
    for change in changes.only("feature", "field", "old", "new", "at").order_by("at", "id"):
        old, new = _number(change.old), _number(change.new)
        if old is not None and new is not None:
            flips[change.feature].append(Flip(change.field, old, new, change.at))
    return [hold for name in now for hold in holds_of(name, flips[name], now[name], since)]


def holds_of(
    name: str, flips: Sequence[Flip], now: Mapping[str, int], since: datetime
) -> Iterator[Hold]:
    """Yield the holds of one switch, given its flips since then in chronological order."""
    state = {"killed": 0, "release_percent": ALL, **now}
    for flip in reversed(flips):
        state[flip.field] = flip.old
    begins = since
    for flip in flips:
        if begins < flip.at:
            yield from _while(name, begins, flip.at, state)
            begins = flip.at
        state[flip.field] = flip.new
    yield from _while(name, begins, None, state)


def _while(
    name: str, begins: datetime, ends: datetime | None, state: Mapping[str, int]
) -> Iterator[Hold]:
    percent = 0 if state["killed"] else state["release_percent"]
    if percent < ALL:
        yield Hold(name, begins, ends, percent)


def _number(text: str) -> int | None:
    if text in {"True", "False"}:
        return int(text == "True")
    return int(text) if text.isascii() and text.isdigit() else None
