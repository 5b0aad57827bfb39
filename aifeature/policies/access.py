"""May this user use this feature now? Decided by its stage alone."""

from __future__ import annotations

from dataclasses import dataclass

from aifeature.models.control import Stage
from aifeature.policies.percent import place


@dataclass(frozen=True, slots=True)
class Visitor:
    """What the decision needs to know of a user."""

    id: int
    is_staff: bool
    is_invited: bool
    """Whether the feature's beta list names this user."""


def may_use(slug: str, *, stage: Stage, percent: int, visitor: Visitor) -> bool:
    """Whether the feature exists for this user. A stranger is told it does not (404)."""
    match stage:
        case Stage.OFF:
            return False
        case Stage.STAFF:
            return visitor.is_staff
        case Stage.BETA:
            return visitor.is_staff or visitor.is_invited
        case Stage.PERCENT:
            return visitor.is_staff or visitor.is_invited or place(slug, visitor.id) < percent
        case Stage.EVERYONE:
            return True
