"""Would this user see the feature, and why: the rule in a sentence, and since when it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aifeature.models import BetaMember, ControlChange
from aifeature.policies.access import Decision, Rule, decide
from aifeature.services import controls
from aifeature.services.access import gates
from aifeature.services.controls.cache import cache
from aifeature.spec import Feature

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_SENTENCES: Final[Mapping[Rule, str]] = MappingProxyType(
    {
        Rule.INTERNAL: "The feature is internal: it has no users.",
        Rule.BLOCKED: "A block keeps the user from it.",
        Rule.DISABLED: "The environment switches it off for all users.",
        Rule.OFF: "The feature is off.",
        Rule.STAFF: "The user is staff, and staff see it at every stage but off.",
        Rule.STAFF_ONLY: "The environment restricts it to staff.",
        Rule.AT_STAFF: "It is at stage staff, and the user is not staff.",
        Rule.INVITED: "The user is on its list of invited users.",
        Rule.HELD_OUT: "The user is in the hold-out: place {bucket} is below {threshold}.",
        Rule.MEMBER: "The user joined its beta.",
        Rule.NOT_INVITED: "It is in beta, and the user is neither invited nor a member.",
        Rule.IN_PERCENT: "The user is in its share: place {bucket} is below {threshold}.",
        Rule.OUTSIDE_PERCENT: "The user is outside of its share: place {bucket} is not below"
        " {threshold}.",
        Rule.EVERYONE: "It is open to everyone.",
    }
)

_NO_PROMPT: Final = (
    "No prompt with evidence is live, so it is at stage staff. The user is not staff."
)
_BY_GROUP: Final = "A group of the user is invited to its beta."

_FIELDS: Final[Mapping[Rule, tuple[str, ...]]] = MappingProxyType(
    {
        Rule.OFF: ("stage",),
        Rule.AT_STAFF: ("stage",),
        Rule.HELD_OUT: ("holdout_percent",),
        Rule.NOT_INVITED: ("stage",),
        Rule.IN_PERCENT: ("percent", "stage"),
        Rule.OUTSIDE_PERCENT: ("percent", "stage"),
        Rule.EVERYONE: ("stage",),
    }
)
"""By rule, the fields of the control that decide."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether a user sees a feature, and why."""

    visible: bool
    rule: str
    sentence: str
    bucket: int | None
    """The user's place, 0 to 99, if a share of users decided."""
    threshold: int | None
    since: datetime | None
    """When the deciding value was set; None if that is not known."""


def explain(feature: Feature, user: User, *, with_reason: bool = False) -> Explanation:
    """Return the decision for this user with its rule. An account that is closed sees nothing.

    Args:
        feature: A feature of this code.
        user: The user.
        with_reason: Whether the sentence contains the reason of a block, which operators wrote.
    """
    joined = gates.memberships(user)
    visitor = gates.visitor_of(feature, user, is_member=feature.slug in joined)
    found = decide(gates.gate_of(feature), visitor)
    if not user.is_active:
        closed = "The account is closed, so the user cannot sign in."
        return Explanation(False, "closed", closed, None, None, None)
    sentence, since = _because(feature, user, found, with_reason=with_reason)
    return Explanation(found.visible, found.rule, sentence, found.bucket, found.threshold, since)


def _because(
    feature: Feature, user: User, found: Decision, *, with_reason: bool
) -> tuple[str, datetime | None]:
    slug = feature.slug
    if found.rule == Rule.BLOCKED:
        return _blocked(slug, user, with_reason=with_reason)
    if found.rule == Rule.MEMBER:
        row = BetaMember.objects.filter(feature=slug, user_id=user.pk).first()
        if row is not None:
            return _SENTENCES[found.rule], row.joined_at
        return _BY_GROUP, _newest(slug, ("beta_groups",))
    if found.rule == Rule.INVITED:
        return _SENTENCES[found.rule], _newest(slug, ("beta_users",), naming=user.pk)
    if found.rule == Rule.AT_STAFF and cache.get(slug).stage not in controls.opening.STAFF_ONLY:
        return _NO_PROMPT, None
    sentence = _SENTENCES[found.rule].format(bucket=found.bucket, threshold=found.threshold)
    return sentence, _newest(slug, _FIELDS.get(found.rule, ()))


def _blocked(slug: str, user: User, *, with_reason: bool) -> tuple[str, datetime | None]:
    found = gates.blocks_of(slug, user.pk)
    if not found:  # it ended a moment ago
        return "The user was blocked until now.", None
    block = gates.longest(found)
    where = "this feature" if block.feature else "all features"
    until = f" until {block.expires_at:%Y-%m-%d %H:%M} UTC" if block.expires_at else ""
    shown = f"They read: {block.message}" if block.message else "They read a 404."
    why = f": {block.reason}" if with_reason else "."
    return f"The user is blocked from {where}{until}{why} {shown}", block.created_at


def _newest(slug: str, fields: tuple[str, ...], *, naming: int | None = None) -> datetime | None:
    """Return the time of the newest change of these fields; `naming`: of one that added a user."""
    changes = ControlChange.objects.filter(feature=slug, field__in=fields)
    if naming is not None:
        changes = changes.filter(new__regex=rf"\+#{naming}([^0-9]|$)")
    row = changes.order_by("-at", "-id").first()
    return row.at if row else None
