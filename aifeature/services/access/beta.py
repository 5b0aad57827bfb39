"""Betas that users join and leave by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from django.db.models import Count, Q

from aifeature import registry
from aifeature.models import BetaMember, Stage
from aifeature.models.functions import rows
from aifeature.policies.access import MEMBERSHIP_COULD_DECIDE, Decision, decide
from aifeature.services.access import gates
from aifeature.services.controls.cache import cache
from aifeature.spec import Feature

if TYPE_CHECKING:
    from django.contrib.auth.models import User

STAGES = frozenset({Stage.BETA, Stage.PERCENT})
"""The stages at which a beta is open."""


class Outcome(StrEnum):
    """The result of joining, as `aif_join_beta` returns it."""

    JOINED = "joined"
    FULL = "full"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Offer:
    """A beta on a user's page: one to join, or one that the user joined."""

    feature: Feature
    is_member: bool
    places_left: int


def offers(user: User) -> list[Offer]:
    """Return the betas that this user may join or leave. It takes two queries at most.

    A beta to join has places, a live prompt, and is the user's only way to the feature.
    """
    found = dict(_undecided(user))
    if not found:
        return []
    counts = _counts(user, found)
    groups_or_joined = gates.memberships(user)
    offered = []
    for slug, (feature, decision) in found.items():
        total, joined = counts.get(slug, (0, 0))
        cap = cache.get(slug).beta_cap
        may_join = decision.rule in MEMBERSHIP_COULD_DECIDE and slug not in groups_or_joined and cap
        if joined or may_join:
            offered.append(Offer(feature, bool(joined), max(0, cap - total)))
    return offered


def can_join(user: User) -> bool:
    """Return whether `offers` has one with a place that this user does not have yet."""
    open_ones = any(
        decision.rule in MEMBERSHIP_COULD_DECIDE and cache.get(slug).beta_cap
        for slug, (_, decision) in _undecided(user)
    )
    return open_ones and any(o.places_left and not o.is_member for o in offers(user))


def places_left(slug: str, stage: Stage, places: int) -> int:
    """Return how many more users may join at this stage with this number of places."""
    if stage not in STAGES or not places:
        return 0
    return max(0, places - BetaMember.objects.filter(feature=slug).count())


def join(slug: str, user: User) -> Outcome:
    """Let the user join, if the page offers it to them. The cap holds for concurrent requests.

    It takes effect in every process immediately. Joining twice changes nothing.
    """
    offer = next((each for each in offers(user) if each.feature.slug == slug), None)
    if offer is None:
        return Outcome.CLOSED
    return Outcome(rows("aif_join_beta", slug, user.pk)[0][0])


def leave(slug: str, user: User) -> bool:
    """Let the user leave. Return whether they were a member."""
    return bool(BetaMember.objects.filter(feature=slug, user_id=user.pk).delete()[0])


def _undecided(user: User) -> Iterator[tuple[str, tuple[Feature, Decision]]]:
    """Yield the features at a stage with a beta that no other rule keeps from this user."""
    for feature in registry.offered().values():
        gate = gates.gate_of(feature)
        if gate.stage not in STAGES:
            continue
        decision = decide(gate, gates.visitor_of(feature, user))
        if decision.visible or decision.rule in MEMBERSHIP_COULD_DECIDE:
            yield feature.slug, (feature, decision)


def _counts(user: User, slugs: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return the members of these betas by slug, and whether this user is one (1 or 0)."""
    counted = (
        BetaMember.objects.filter(feature__in=list(slugs))
        .values("feature")
        .annotate(total=Count("pk"), own=Count("pk", filter=Q(user_id=user.pk)))
    )
    return {row["feature"]: (row["total"], row["own"]) for row in counted}
