"""The decision whether a user sees a feature, from cached facts and at most one query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aifeature.models import AccessBlock
from aifeature.models.functions import rows
from aifeature.policies.access import MEMBERSHIP_COULD_DECIDE, Decision, Gate, Visitor, decide
from aifeature.services import controls
from aifeature.services.access import environment
from aifeature.services.controls.cache import cache
from aifeature.spec import Feature

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_FOREVER = datetime.max.replace(tzinfo=UTC)


def is_visible(feature: Feature, user: User) -> bool:
    """Return whether the feature exists for this user.

    It takes a query only if membership of the beta could decide. So joining takes effect
    immediately in every process. A block reaches other processes with their next poll.
    """
    decision = decision_without_query(feature, user)
    if decision.rule not in MEMBERSHIP_COULD_DECIDE:
        return decision.visible
    return feature.slug in memberships(user)


def visible(features: Iterable[Feature], user: User) -> list[Feature]:
    """Return those of these features that exist for this user. It takes one query at most."""
    decided = [(feature, decision_without_query(feature, user)) for feature in features]
    unsure = any(decision.rule in MEMBERSHIP_COULD_DECIDE for _, decision in decided)
    joined = memberships(user) if unsure else frozenset()
    return [
        feature
        for feature, decision in decided
        if decision.visible or (decision.rule in MEMBERSHIP_COULD_DECIDE and feature.slug in joined)
    ]


def block_of(feature: Feature, user: User) -> AccessBlock | None:
    """Return the block whose message this user reads in place of the feature, or None.

    None also for a user who would not see the feature anyway: the message would disclose it.
    """
    found = blocks_of(feature.slug, user.pk)
    if not found:
        return None
    gate, visitor = gate_of(feature), replace(visitor_of(feature, user), is_blocked=False)
    decision = decide(gate, visitor)
    if decision.rule in MEMBERSHIP_COULD_DECIDE:
        decision = decide(gate, replace(visitor, is_member=feature.slug in memberships(user)))
    block = longest(found)
    return block if decision.visible and block.message else None


def is_blocked(slug: str, user: User) -> bool:
    """Return whether a block keeps the user from this feature, with or without a message."""
    return bool(blocks_of(slug, user.pk))


def decision_without_query(feature: Feature, user: User) -> Decision:
    """Return the decision for a user who is no member of the beta."""
    return decide(gate_of(feature), visitor_of(feature, user))


def gate_of(feature: Feature) -> Gate:
    """Return what decides access to a feature now. Its stage is as in `controls.stage`."""
    control, flags = cache.get(feature.slug), environment.flags(feature.slug)
    return Gate(
        seed=control.seed or feature.slug,
        stage=controls.stage(feature),
        percent=control.percent,
        holdout_percent=control.holdout_percent,
        is_internal=feature.internal,
        is_enabled=flags.enabled,
        is_staff_only=flags.staff_only,
    )


def visitor_of(feature: Feature, user: User, *, is_member: bool = False) -> Visitor:
    """Return what decides about a user."""
    return Visitor(
        id=user.pk,
        is_staff=user.is_staff,
        is_blocked=is_blocked(feature.slug, user),
        is_invited=user.pk in cache.get(feature.slug).invited,
        is_member=is_member,
    )


def memberships(user: User) -> frozenset[str]:
    """Return the slugs of all betas that the user joined, or that invite one of their groups."""
    return frozenset(slug for (slug,) in rows("aif_beta_features", user.pk))


def longest(found: Iterable[AccessBlock]) -> AccessBlock:
    """Return the block that ends last, of at least one."""
    return max(found, key=lambda block: (block.expires_at or _FOREVER, block.pk))


def blocks_of(slug: str, user_id: int) -> list[AccessBlock]:
    """Return the unexpired blocks of a user from this feature."""
    found = cache.all().blocks.get(user_id, ())
    return [block for block in found if block.feature in {"", slug}]
