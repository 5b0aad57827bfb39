"""Rates of one user, including overrides and throttles."""

from __future__ import annotations

from aifeature import registry
from aifeature.policies import rates as policy
from aifeature.policies.rates import Rates
from aifeature.services.controls import cache, effective
from aifeature.spec import Feature


def of(feature: Feature, user_id: int) -> Rates:
    controls = cache.cache.all()
    return policy.effective(
        effective.feature_rates(feature),
        controls.overrides_of(user_id),
        slug=feature.slug,
        user_id=user_id,
        groups=controls.groups.get(user_id, frozenset()),
    )


def max_concurrency() -> dict[str, int]:
    """Return the most jobs of one user in flight, in the form that `fair_queue.dispatch` takes.

    Group members are not distinguished: the highest limit of any group applies to every user, and
    `begin_attempt` requeues the excess.
    """
    overrides = cache.cache.all().overrides
    of_groups = [each.rates.in_flight or 0 for each in overrides.get(None, ())]
    limits: dict[str, int] = {}
    for slug, feature in registry.all_features().items():
        default = effective.feature_rates(feature).in_flight
        if default is not None:
            limits[slug] = max([default, *of_groups])
        for user_id, own in overrides.items():
            if user_id is not None and any(each.rates.in_flight for each in own):
                rate = of(feature, user_id).in_flight
                if rate is not None:
                    limits[f"{slug}:{user_id}"] = rate
    return limits
