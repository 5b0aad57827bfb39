"""Decisions of a ramp: raise a feature's percentage, hold, or step back. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

LONGEST_GAP_S: Final = 300
"""Seconds between two checks above which the time between them does not count as healthy."""

HELD_ALERT_S: Final = 24 * 3_600
"""Seconds of one hold after which on-call is alerted."""

MOST_STEPS: Final = 20
MOST_HOURS: Final = 720
ALL: Final = 100


class HealthLevel(StrEnum):
    """Level of all numbers of a feature together."""

    GREEN = "green"
    AMBER = "amber"
    STALE = "stale"
    MISSING = "missing"
    RED = "red"


class Move(StrEnum):
    """The action of a check on a ramp."""

    WAIT = "wait"
    """All is well, and the step needs more healthy time."""
    ADVANCE = "advance"
    HOLD = "hold"
    STEP_BACK = "step_back"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that decides about a ramp at one check."""

    steps: tuple[int, ...]
    """Percentages, rising."""
    step: int
    """Index of the current step."""
    healthy_s: float
    """Healthy seconds of the current step until the last check."""
    since_check_s: float
    """Seconds since the last check, or since the step began."""
    was_held: bool
    """Whether the last check held the ramp."""
    level: HealthLevel
    why: str
    """The number, its value and its threshold, if the level is not green."""
    hours_per_step: float
    is_stopped: bool
    """Whether a kill switch stops the feature for some users."""


@dataclass(frozen=True, slots=True)
class Decision:
    move: Move
    healthy_s: float
    """Healthy seconds of the current step, including the time since the last check."""
    reason: str = ""
    """Why the ramp holds or steps back. Empty for the other moves."""


def decide(facts: Facts) -> Decision:
    """Return the move of one check. No check takes more than one step.

    Time counts as healthy if the checks at both of its ends found all numbers green, and at most
    `LONGEST_GAP_S` passed between them. Nothing else advances a ramp.

    Example:
        >>> decide(Facts(steps=(5, 10), step=0, healthy_s=3_590, since_check_s=60, was_held=False,
        ...     level=HealthLevel.GREEN, why="", hours_per_step=1, is_stopped=False)).move
        <Move.ADVANCE: 'advance'>
    """
    if facts.is_stopped:
        return _hold(facts, "The kill switch stops the feature for some or all users.")
    if facts.level is HealthLevel.RED:
        return Decision(Move.STEP_BACK, facts.healthy_s, facts.why)
    if facts.level is not HealthLevel.GREEN:
        return _hold(facts, facts.why)
    if facts.since_check_s > LONGEST_GAP_S:
        return _hold(facts, f"The check did not run for {facts.since_check_s / 60:.0f} minutes.")
    counted = 0.0 if facts.was_held else max(0.0, facts.since_check_s)
    healthy = facts.healthy_s + counted
    if healthy < facts.hours_per_step * 3_600:
        return Decision(Move.WAIT, healthy)
    is_last = facts.step + 1 >= len(facts.steps)
    return Decision(Move.DONE if is_last else Move.ADVANCE, healthy)


def _hold(facts: Facts, reason: str) -> Decision:
    return Decision(Move.HOLD, facts.healthy_s, reason)


def problem(steps: list[int], *, hours: int, present: int) -> str:
    """Return why a ramp with these steps cannot start, as a sentence; empty if it can.

    `present` is the percentage that may use the feature now.
    """
    checks = (
        (not steps, "Enter at least one step, such as 5, 10, 25, 100."),
        (len(steps) > MOST_STEPS, f"A ramp has at most {MOST_STEPS} steps."),
        (
            any(not 1 <= step <= ALL for step in steps),
            "Each step is a percentage from 1 to 100.",
        ),
        (
            any(later <= earlier for earlier, later in pairwise(steps)),
            "Each step must be above the one before. A ramp only raises the percentage.",
        ),
        (
            any(step <= present for step in steps[:1]),
            f"{present} % of users may use the feature already. The first step must be above it.",
        ),
        (
            not 1 <= hours <= MOST_HOURS,
            f"Enter 1 to {MOST_HOURS} healthy hours for each step.",
        ),
    )
    return next((text for is_wrong, text in checks if is_wrong), "")
