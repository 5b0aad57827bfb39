"""Search for the few users who cause the excess of a feature or of GLOBAL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from aifeature.policies.spike import Excess, Kind, Spend, Verdict, part_of

FEW: Final = 3
"""Most users that are throttled instead of the feature. If more cause the spike, the feature is
stopped, so a person with more accounts can still stop it."""

ENOUGH: Final = 0.5
"""Least share of the excess that these users must cause. In a crowd of new users, none do."""


def beyond_usual(spend: Spend, verdict: Verdict, busiest_hour: int) -> Excess:
    """Return a user's spend above their usual: the part that a throttle would have prevented.

    The whole latest half hour counts, since an ordinary user may do all work of a day in it.

    Args:
        spend: The user's spend.
        verdict: The verdict on it. Without a baseline, the excess is all of today.
        busiest_hour: Micro-dollars of the busiest hour in the user's trailing days. A throttle
            still allows that much.
    """
    return Excess(
        today=verdict.excess,
        hour=max(0, spend.latest_hour - busiest_hour),
        half_hour=spend.latest_half_hour,
    )


def is_unusual(kind: Kind, verdict: Verdict, least: int) -> bool:
    """Return whether a user who causes much of an excess of this kind is throttled for it.

    A surge throttles only users without a baseline who spent `least` micro-dollars or more today.
    Users with a baseline are throttled by their own rule, above twice that baseline.
    """
    return kind is not Kind.SURGE or (verdict.baseline is None and verdict.today >= least)


def who_caused(
    verdict: Verdict, beyond: Mapping[str, Excess], without: Callable[[Excess], Verdict]
) -> tuple[list[str], Excess]:
    """Return the keys of the fewest users whose excess explains the spike, and their excess.

    Several keys of one user count as one. The result is empty if more than FEW users are needed,
    or if they cause less than ENOUGH of the excess.

    Args:
        verdict: The verdict on the feature or GLOBAL; not OK.
        beyond: Each user's spend above their usual, by `feature:user id`.
        without: Returns the verdict without that excess.
    """
    keys_of: dict[str, list[str]] = {}
    for key in beyond:
        if part_of(beyond[key], verdict.kind):
            keys_of.setdefault(key.rpartition(":")[2], []).append(key)
    of = {user: sum((beyond[key] for key in keys), Excess()) for user, keys in keys_of.items()}
    most = sorted(of, key=lambda user: (-part_of(of[user], verdict.kind), user))[:FEW]
    needed = ENOUGH * verdict.excess_of(verdict.kind)
    chosen: list[str] = []
    excess = Excess()
    for user in most:
        chosen += keys_of[user]
        excess += of[user]
        if part_of(excess, verdict.kind) >= needed and without(excess).kind is Kind.OK:
            return chosen, excess
    return [], Excess()
