"""Throttles of a user, and the sentences that explain them to the user.

A check made them, or an operator by an override that lowers a rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from aifeature import registry
from aifeature.policies.rates import Override, lowering
from aifeature.services.controls import cache, effective

FLAGS_CHECK: Final = "guards.flags"
"""`check_name` of throttles after flagged requests."""

SPEND_CHECK: Final = "cost_spike"
"""`check_name` of throttles after unusual spend."""

_MISTAKE: Final = "If this is a mistake, ask our team: they can lift the limit."


def is_held(user_id: int, check_name: str) -> bool:
    """Return whether a throttle by this check holds for the user, in any feature."""
    return any(each.check_name == check_name for each in _of(user_id))


def notices(user_id: int, slug: str = "", *, seen: Collection[str] | None = None) -> list[str]:
    """Return why the user is throttled, one sentence or more for each cause; empty if not.

    `slug` leaves out throttles of other features. `seen` are the features that exist for the user:
    a sentence about another one would disclose it. None: all.
    """
    made = [*_of(user_id), *_lowered(user_id, slug)]
    shown = made if seen is None else [each for each in made if each.feature in {"", *seen}]
    found = [each for each in shown if not slug or each.feature in {"", slug}]
    texts = [_WHY.get(each.check_name, _other)(each) + f" {_MISTAKE}" for each in found]
    return list(dict.fromkeys(texts))


def _of(user_id: int) -> list[Override]:
    own = cache.cache.all().overrides.get(user_id, ())
    return [each for each in own if each.throttles]


def _lowered(user_id: int, slug: str) -> list[Override]:
    """Return overrides by operators that lower a rate of this feature, or of any."""
    features = [each for each in registry.offered().values() if slug in {"", each.slug}]
    usual = {each.slug: effective.feature_rates(each) for each in features}
    return lowering(cache.cache.all().overrides.get(user_id, ()), usual)


def _team(throttle: Override) -> str:
    feature = registry.find(throttle.feature)
    used = feature.title if feature else "this site"
    return f"Our team lowered your limits for {used}{_until(throttle)}{_pace(throttle)}."


def _flags(throttle: Override) -> str:
    return (
        "Three of your requests today looked like attempts to steer the AI, so you can send fewer"
        f" requests{_how_long(throttle)}{_pace(throttle)}."
    )


def _spend(throttle: Override) -> str:
    feature = registry.find(throttle.feature)
    used = feature.title if feature else "this site"
    return (
        f"You used {used} far more than usual today, so you can send fewer requests"
        f"{_how_long(throttle)}{_pace(throttle)}."
    )


def _other(throttle: Override) -> str:
    return f"You can send fewer requests than usual{_how_long(throttle)}{_pace(throttle)}."


_WHY: Final = MappingProxyType[str, Callable[[Override], str]](
    {"": _team, FLAGS_CHECK: _flags, SPEND_CHECK: _spend}
)


def _how_long(throttle: Override) -> str:
    end = throttle.expires_at
    return f" until {end:%H:%M} UTC" if end else ""


def _until(throttle: Override) -> str:
    """Return the end with its day: an operator's throttle may last for weeks."""
    end = throttle.expires_at
    return f" until {end:%-d %B, %H:%M} UTC" if end else ""


def _pace(throttle: Override) -> str:
    rate = throttle.rates.requests_per_minute
    if rate is None:
        return ""
    if rate > 1:
        return f", at most {_number(rate)} a minute"
    minutes = math.ceil(1 / rate)
    return f", at most one {'a minute' if minutes == 1 else f'in {minutes} minutes'}"


def _number(rate: Decimal) -> str:
    return f"{rate.normalize():f}"
