"""Finds the few users who cause the excess of a feature, or of everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from aifeature.policies.spike import Excess, Kind, Spend, Verdict, part_of

FEW: Final = 3
"""Users who are throttled instead of the feature. More are the feature's own spike: somebody with
more accounts than that can still stop it."""

ENOUGH: Final = 0.5
"""Share of the excess that they must make up. Of a crowd that comes, nobody does."""


def beyond_usual(spend: Spend, verdict: Verdict, busiest_hour: int) -> Excess:
    """Return what a user spent above their usual, and so what a throttle would have prevented.

    Of the latest half hour it is all that they spent: an ordinary user may do a day's work in it.

    Args:
        spend: Theirs.
        verdict: On it. Without a baseline, all that they spent today is unusual.
        busiest_hour: Micro-dollars of the busiest hour of their trailing days: what a throttle
            leaves them.
    """
    return Excess(
        today=verdict.excess,
        hour=max(0, spend.latest_hour - busiest_hour),
        half_hour=spend.latest_half_hour,
    )


def is_unusual(kind: Kind, verdict: Verdict, least: int) -> bool:
    """Return whether a user who makes up much of an excess of this kind is throttled for it.

    In a surge only a user without a baseline is, from the least spend that counts: one who has a
    baseline is throttled once they are above twice that.
    """
    return kind is not Kind.SURGE or (verdict.baseline is None and verdict.today >= least)


def who_caused(
    verdict: Verdict, beyond: Mapping[str, Excess], without: Callable[[Excess], Verdict]
) -> tuple[list[str], Excess]:
    """Return the keys of the fewest users without whose excess all is well, and their excess.

    Several keys of one person count as one. Nobody, if more than FEW people would be needed, or if
    those few make up less than ENOUGH of the excess.

    Args:
        verdict: On the feature, or on GLOBAL: not OK.
        beyond: What each of its users spent above their usual, by `feature:user id`.
        without: The verdict without so much.
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
