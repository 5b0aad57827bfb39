"""Access of users to a feature: one ordered list of rules, and the rule that decided."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aifeature.models.control import Stage
from aifeature.policies.percent import HOLDOUT, place, place_for


class Rule(StrEnum):
    """The rule that decided. They are tried in this order; the first one that fits decides."""

    INTERNAL = "internal"
    BLOCKED = "blocked"
    DISABLED = "disabled"
    OFF = "off"
    STAFF = "staff"
    STAFF_ONLY = "staff_only"
    AT_STAFF = "at_staff"
    INVITED = "invited"
    HELD_OUT = "held_out"
    EVERYONE = "everyone"
    MEMBER = "member"
    IN_PERCENT = "in_percent"
    OUTSIDE_PERCENT = "outside_percent"
    NOT_INVITED = "not_invited"


MEMBERSHIP_COULD_DECIDE: Final = frozenset({Rule.NOT_INVITED, Rule.OUTSIDE_PERCENT})
"""The rules before which a member of the beta would have been admitted."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The properties of a feature that decide access."""

    seed: str
    """The seed of each user's places. It never changes, also if the feature is renamed."""
    stage: Stage
    percent: int = 0
    holdout_percent: int = 0
    is_internal: bool = False
    is_enabled: bool = True
    """False: the environment switches the feature off."""
    is_staff_only: bool = False
    """True: the environment restricts the feature to staff."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """The properties of a user that decide access."""

    id: int
    is_staff: bool = False
    is_blocked: bool = False
    is_invited: bool = False
    """Whether the feature's beta list names this user."""
    is_member: bool = False
    """Whether the user joined the beta, or is in one of its groups."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the feature exists for a user, and why. Other users get a 404."""

    visible: bool
    rule: Rule
    bucket: int | None = None
    """The user's place, 0 to 99, if a share of users decided."""
    threshold: int | None = None
    """The share: places below it are in it."""


def decide(gate: Gate, visitor: Visitor) -> Decision:
    """Return the decision of the first rule that fits.

    >>> decide(Gate("summarize", Stage.STAFF), Visitor(7)).rule.value
    'at_staff'
    """
    return _closed(gate, visitor) or _insider(gate, visitor) or _by_stage(gate, visitor)


def _closed(gate: Gate, visitor: Visitor) -> Decision | None:
    """Return a refusal that holds for all users, staff too."""
    rules = (
        (gate.is_internal, Rule.INTERNAL),
        (visitor.is_blocked, Rule.BLOCKED),
        (not gate.is_enabled, Rule.DISABLED),
        (gate.stage == Stage.OFF, Rule.OFF),
    )
    return next((Decision(False, rule) for fits, rule in rules if fits), None)


def _insider(gate: Gate, visitor: Visitor) -> Decision | None:
    """Return what the user's own standing decides, before any share of users."""
    if visitor.is_staff:
        return Decision(True, Rule.STAFF)
    if gate.is_staff_only:
        return Decision(False, Rule.STAFF_ONLY)
    if gate.stage == Stage.STAFF:
        return Decision(False, Rule.AT_STAFF)
    if visitor.is_invited:
        return Decision(True, Rule.INVITED)
    bucket = place_for(gate.seed, HOLDOUT, visitor.id)
    if bucket < gate.holdout_percent:
        return Decision(False, Rule.HELD_OUT, bucket, gate.holdout_percent)
    return None


def _by_stage(gate: Gate, visitor: Visitor) -> Decision:
    """Return the decision at one of the stages beyond staff."""
    if gate.stage == Stage.EVERYONE:
        return Decision(True, Rule.EVERYONE)
    if visitor.is_member:
        return Decision(True, Rule.MEMBER)
    if gate.stage == Stage.PERCENT:
        bucket = place(gate.seed, visitor.id)
        inside = bucket < gate.percent
        rule = Rule.IN_PERCENT if inside else Rule.OUTSIDE_PERCENT
        return Decision(inside, rule, bucket, gate.percent)
    return Decision(False, Rule.NOT_INVITED)
