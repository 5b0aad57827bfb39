"""Decisions of a ramp from its facts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aifeature.policies.ramps import Decision, Facts, HealthLevel, Move, decide, problem

HOUR = 3_600
READY = Facts(
    steps=(5, 10, 25),
    step=0,
    healthy_s=24 * HOUR - 60,
    since_check_s=60,
    was_held=False,
    level=HealthLevel.GREEN,
    why="",
    hours_per_step=24,
    is_stopped=False,
)
"""A ramp whose step has all of its healthy hours with this check."""


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, Decision(Move.ADVANCE, 24 * HOUR)),
        ({"healthy_s": 24 * HOUR - 61}, Decision(Move.WAIT, 24 * HOUR - 1)),
        ({"step": 2}, Decision(Move.DONE, 24 * HOUR)),
        ({"healthy_s": 900 * HOUR}, Decision(Move.ADVANCE, 900 * HOUR + 60)),
        # A gap of more than five minutes does not count, and holds.
        ({"healthy_s": 0, "since_check_s": 300}, Decision(Move.WAIT, 300)),
        (
            {"healthy_s": 500 * HOUR, "since_check_s": 3_600},
            Decision(Move.HOLD, 500 * HOUR, "The check did not run for 60 minutes."),
        ),
        # A clock that went back takes nothing away.
        ({"since_check_s": -60}, Decision(Move.WAIT, 24 * HOUR - 60)),
        # The time before a number turned green again does not count.
        ({"was_held": True}, Decision(Move.WAIT, 24 * HOUR - 60)),
        ({"was_held": True, "healthy_s": 24 * HOUR}, Decision(Move.ADVANCE, 24 * HOUR)),
        *(
            ({"level": level, "why": "w"}, Decision(Move.HOLD, 24 * HOUR - 60, "w"))
            for level in (HealthLevel.AMBER, HealthLevel.MISSING, HealthLevel.STALE)
        ),
        (
            {"level": HealthLevel.RED, "why": "errors"},
            Decision(Move.STEP_BACK, 24 * HOUR - 60, "errors"),
        ),
        (
            {"level": HealthLevel.RED, "is_stopped": True},
            Decision(
                Move.HOLD,
                24 * HOUR - 60,
                "The kill switch stops the feature for some or all users.",
            ),
        ),
    ],
    ids=str,
)
def test_one_check_decides(changed: dict[str, object], expected: Decision) -> None:
    assert decide(replace(READY, **changed)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("steps", "hours", "words"),
    [
        ([5, 10, 25, 100], 24, ""),
        ([], 24, "at least one step"),
        ([10, 5], 24, "above the one before"),
        ([5, 5], 24, "above the one before"),
        ([5, 101], 24, "from 1 to 100"),
        ([0, 5], 24, "from 1 to 100"),
        ([4], 24, "4 % of users may use the feature already"),
        (list(range(5, 26)), 24, "at most 20 steps"),
        ([5], 0, "1 to 720"),
        ([5], 721, "1 to 720"),
    ],
    ids=str,
)
def test_an_invalid_ramp_is_refused_with_a_sentence(
    steps: list[int], hours: int, words: str
) -> None:
    found = problem(steps, hours=hours, present=4)
    assert (words in found) if words else not found
