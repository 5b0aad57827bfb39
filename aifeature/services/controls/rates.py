"""The rates of one user, with the exceptions that operators and checks made for them."""

from __future__ import annotations

from aifeature import registry
from aifeature.policies import rates as policy
from aifeature.policies.rates import Rates
from aifeature.services.controls import cache, effective
from aifeature.spec import Feature


def of(feature: Feature, user_id: int) -> Rates:
    """The rates this user has for this feature now."""
    controls = cache.cache.all()
    return policy.effective(
        effective.feature_rates(feature),
        controls.overrides_of(user_id),
        slug=feature.slug,
        user_id=user_id,
        groups=controls.groups.get(user_id, frozenset()),
    )


def max_concurrency() -> dict[str, int]:
    """How many jobs of one user may be out, as `turns.dispatch` takes it.

    Members of a group that may have more are not told apart here: then all may be handed over as
    many, and `begin_attempt` sends those back that are too many.
    """
    overrides = cache.cache.all().overrides
    of_groups = [each.rates.in_flight or 0 for each in overrides.get(None, ())]
    found: dict[str, int] = {}
    for slug, feature in registry.all_features().items():
        usual = effective.feature_rates(feature).in_flight
        if usual is not None:
            found[slug] = max([usual, *of_groups])
        for user_id, own in overrides.items():
            if user_id is not None and any(each.rates.in_flight for each in own):
                rate = of(feature, user_id).in_flight
                if rate is not None:
                    found[f"{slug}:{user_id}"] = rate
    return found
