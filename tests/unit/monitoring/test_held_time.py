"""The times of a switch, from the rows of its flips, fit its state in each minute of a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from aifeature.services.monitoring.held_time import Flip, Hold, holds_of

MIDNIGHT = datetime(2026, 11, 28, tzinfo=UTC)
DAY = 24 * 60
State = tuple[int, int]
"""Whether the switch is pulled, and the percentage of its release."""

STATES = st.tuples(st.integers(0, 1), st.integers(0, 100))
FLIPS = st.lists(st.tuples(st.integers(0, DAY - 1), STATES), max_size=8).map(
    lambda found: sorted(found, key=lambda flip: flip[0])
)


def at(minute: int) -> datetime:
    return MIDNIGHT + timedelta(minutes=minute)


def rows(before: State, later: list[tuple[int, State]]) -> list[Flip]:
    """As the database writes them: one for each field that changes."""
    found, state = [], before
    for minute, new in later:
        for name, old, now in zip(("killed", "release_percent"), state, new, strict=True):
            if old != now:
                found.append(Flip(name, old, now, at(minute)))
        state = new
    return found


@given(before=STATES, later=FLIPS)
def test_a_switch_is_on_exactly_while_it_was(before: State, later: list[tuple[int, State]]) -> None:
    killed, percent = later[-1][1] if later else before
    now = {"killed": killed, "release_percent": percent}
    found = list(holds_of("summarize", rows(before, later), now, MIDNIGHT))
    for minute in range(0, DAY, 7):
        state = next((new for when, new in reversed(later) if when <= minute), before)
        off_for = 0 if state[0] else state[1]
        on = [hold.percent for hold in found if _is_in(hold, minute)]
        assert on == ([off_for] if off_for < 100 else [])


def _is_in(hold: Hold, minute: int) -> bool:
    return hold.begins <= at(minute) and (hold.ends is None or at(minute) < hold.ends)
