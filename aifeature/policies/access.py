"""Access of users to a feature, by its stage alone."""

from __future__ import annotations

from dataclasses import dataclass

from aifeature.models.control import Stage
from aifeature.policies.percent import place


@dataclass(frozen=True, slots=True)
class Visitor:
    """The properties of a user that decide access."""

    id: int
    is_staff: bool
    is_invited: bool
    """Whether the feature's beta list names this user."""


def may_use(slug: str, *, stage: Stage, percent: int, visitor: Visitor) -> bool:
    """Return whether the feature exists for this user. Other users get a 404."""
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
