"""When an alert about a number opens and closes."""

from __future__ import annotations

import pytest

from aifeature.models import Level
from aifeature.policies.alarms import GREEN_S, MOST_GREEN_S, Seen, Step, needed_s, step

RED, AMBER, GREEN, MISSING = Level.RED, Level.AMBER, Level.GREEN, None
MINUTE = 60


@pytest.mark.parametrize(
    ("level", "is_open", "green_min", "openings", "expected"),
    [
        (RED, False, 0, 1, Step.OPEN),
        (AMBER, False, 0, 1, Step.NOTHING),
        (MISSING, False, 0, 1, Step.NOTHING),
        (GREEN, False, 60, 1, Step.NOTHING),
        (RED, True, 0, 1, Step.KEEP),
        (RED, True, 60, 1, Step.KEEP),
        (AMBER, True, 60, 1, Step.KEEP),
        (MISSING, True, 60, 1, Step.KEEP),
        (GREEN, True, 14, 1, Step.KEEP),
        (GREEN, True, 15, 1, Step.CLOSE),
        (GREEN, True, -5, 1, Step.KEEP),
        (GREEN, True, 29, 2, Step.KEEP),
        (GREEN, True, 30, 2, Step.CLOSE),
        (GREEN, True, 119, 4, Step.KEEP),
        (GREEN, True, 239, 99, Step.KEEP),
        (GREEN, True, 240, 99, Step.CLOSE),
    ],
)
def test_step(
    level: Level | None, is_open: bool, green_min: int, openings: int, expected: Step
) -> None:
    seen = Seen(level, is_open=is_open, green_s=green_min * MINUTE, openings=openings)
    assert step(seen) is expected


def test_a_number_that_swings_for_a_day_alerts_a_few_times() -> None:
    """It is red for a minute and then green until the alert closes, over and over."""
    at, openings = 0, 0
    while at < 24 * 60 * MINUTE:
        openings += 1
        at += MINUTE + needed_s(openings)
    assert openings == 10
    assert (needed_s(1), needed_s(10_000)) == (GREEN_S, MOST_GREEN_S)
