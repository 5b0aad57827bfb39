"""Rates of one user: the feature's rates and the overrides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of one user and feature; None is no limit."""

    requests_per_minute: Decimal | None = None
    tokens_per_minute: int | None = None
    in_flight: int | None = None

    def lowers(self, usual: Rates) -> bool:
        """Return whether one of these rates is below the usual one, of which None is no limit."""
        pairs = ((getattr(self, name), getattr(usual, name)) for name in Rates.__slots__)
        return any(own is not None and (rate is None or own < rate) for own, rate in pairs)


@dataclass(frozen=True, slots=True)
class RateLimitStatus:
    """Remaining rate of a user, in whole requests and seconds."""

    limit: int
    """Requests within the window."""
    window_s: int
    remaining: int
    reset_s: int
    """Seconds until all of them are available again."""

    @classmethod
    def of(cls, per_minute: Decimal, *, remaining: int, reset_s: int) -> RateLimitStatus:
        """Return the status for a rate. Below one request a minute, the window is longer."""
        if per_minute < 1:
            return cls(1, math.ceil(60 / per_minute), remaining, reset_s)
        return cls(int(per_minute), 60, remaining, reset_s)


@dataclass(frozen=True, slots=True)
class Override:
    """Rates for a user or the members of a group; None keeps a rate."""

    user_id: int | None
    group_id: int | None
    feature: str
    """Empty: all features."""
    rates: Rates
    throttles: bool
    """Whether a check made it, to slow the user down."""
    check_name: str = ""
    expires_at: datetime | None = None


def effective(
    rates: Rates, overrides: Iterable[Override], *, slug: str, user_id: int, groups: frozenset[int]
) -> Rates:
    """Return a user's rates: their own overrides precede their groups', then the feature's rates.

    A user's override for this feature precedes one for all features. Among groups, the most
    generous rate applies. A throttle can only lower a rate.
    """
    mine = [each for each in overrides if each.feature in {"", slug}]
    own = [each for each in mine if each.user_id == user_id]
    ranked = [
        *(each.rates for each in _this_feature_first(own) if not each.throttles),
        _most([each.rates for each in mine if each.group_id in groups]),
        rates,
    ]
    usual = [Rates(*(_first(ranked, name) for name in Rates.__slots__))]
    return _least(usual + [each.rates for each in own if each.throttles])


def lowering(own: Iterable[Override], usual: Mapping[str, Rates]) -> list[Override]:
    """Return a user's overrides by operators that lower a rate of a feature.

    Args:
        own: The user's overrides. That for a feature precedes that for all features.
        usual: The rates without overrides, by feature.
    """
    by_people = _this_feature_first([each for each in own if not each.throttles])

    def lowers(override: Override) -> bool:
        return any(
            override.rates.lowers(rates)
            for slug, rates in usual.items()
            if override is next((o for o in by_people if o.feature in {"", slug}), None)
        )

    return [each for each in by_people if lowers(each)]


def _least(rates: list[Rates]) -> Rates:
    def least(name: str) -> Any:
        return min((v for each in rates if (v := getattr(each, name)) is not None), default=None)

    return Rates(*(least(name) for name in Rates.__slots__))


def _this_feature_first(overrides: list[Override]) -> list[Override]:
    return sorted(overrides, key=lambda each: each.feature == "")


def _most(rates: list[Rates]) -> Rates:
    def most(name: str) -> Any:
        return max((v for each in rates if (v := getattr(each, name)) is not None), default=None)

    return Rates(*(most(name) for name in Rates.__slots__))


def _first(ranked: list[Rates], name: str) -> Any:
    return next((v for each in ranked if (v := getattr(each, name)) is not None), None)
