"""How fast one user may go: the feature's rates, and exceptions to them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of one user and feature; None is no limit."""

    requests_per_minute: Decimal | None = None
    tokens_per_minute: int | None = None
    in_flight: int | None = None


@dataclass(frozen=True, slots=True)
class RateLimitStatus:
    """What a user may still send: whole requests and whole seconds."""

    limit: int
    """Requests within the window."""
    window_s: int
    remaining: int
    reset_s: int
    """Until all of them may be sent again."""

    @classmethod
    def of(cls, per_minute: Decimal, *, remaining: int, reset_s: int) -> RateLimitStatus:
        """At this rate. One that is slower than one a minute has a longer window."""
        if per_minute < 1:
            return cls(1, math.ceil(60 / per_minute), remaining, reset_s)
        return cls(int(per_minute), 60, remaining, reset_s)


@dataclass(frozen=True, slots=True)
class Override:
    """Other rates for a user or the members of a group; None leaves a rate as it is."""

    user_id: int | None
    group_id: int | None
    feature: str
    """Empty: of all features."""
    rates: Rates
    throttles: bool
    """Made by a check, to slow somebody down."""


def effective(
    rates: Rates, overrides: Iterable[Override], *, slug: str, user_id: int, groups: frozenset[int]
) -> Rates:
    """A user's rates: their own go first, then their groups', then the feature's.

    Of several of one kind the one for this very feature goes before one for all; among groups the
    most generous counts. A throttle only ever slows down.
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
