"""The rates of one user, with the exceptions that operators and checks made for them."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Final

from django.contrib.auth import get_user_model

from aifeature import registry
from aifeature.policies.rates import Rates, effective
from aifeature.services import control
from aifeature.spec import Feature

MEMBERSHIP_S: Final = 30
"""How long a user's groups are remembered; asked for only while a group has rates of its own."""


def of(feature: Feature, user_id: int) -> Rates:
    """The rates this user has for this feature now."""
    overrides = control.cache.all().overrides
    of_groups = any(each.group_id is not None for each in overrides)
    return effective(
        control.feature_rates(feature),
        overrides,
        slug=feature.slug,
        user_id=user_id,
        groups=_groups(user_id, int(time.monotonic() / MEMBERSHIP_S)) if of_groups else frozenset(),
    )


def at_once() -> dict[str, int]:
    """How many jobs of one user may be out, as `transitions.dispatch` takes it."""
    found: dict[str, int] = {}
    for slug, feature in registry.all_features().items():
        usual = control.feature_rates(feature).in_flight
        if usual is not None:
            found[slug] = usual
        for user_id in {each.user_id for each in control.cache.all().overrides}:
            if user_id is not None and (own := of(feature, user_id).in_flight) is not None:
                found[f"{slug}:{user_id}"] = own
    return found


@lru_cache(maxsize=10_000)
def _groups(user_id: int, _moment: int) -> frozenset[int]:
    user = get_user_model()(pk=user_id)
    return frozenset(user.groups.values_list("pk", flat=True))
