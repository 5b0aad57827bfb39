"""Top spenders in alerts and audit rows, by user id, without names or addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aifeature.policies.spike import Kind, Spend
from aifeature.services.controls import GLOBAL
from aifeature.services.monitoring.spikes import baseline
from aifeature.services.monitoring.spikes.baseline import NOTHING
from aifeature.services.monitoring.spikes.judge import Days, Known, feature_of

LISTED: Final = 10
"""Most users in the figures."""

NAMED: Final = 3
"""Most users in a sentence."""


@dataclass(frozen=True, slots=True)
class TopSpender:
    """A user and their share of the spend of a feature or of GLOBAL."""

    user: int
    micro: int
    share: float
    """0 to 1."""


def top(known: Known, slug: str, kind: Kind, now: datetime) -> list[TopSpender]:
    """Return the top spenders of a feature or GLOBAL, highest first.

    The period is the latest half hour for SURGE, the latest hour for BURN, and else today.
    """
    of: dict[int, int] = {}
    for key in known.users:
        if slug in {feature_of(key), GLOBAL}:
            user = int(key.rpartition(":")[2])
            of[user] = of.get(user, 0) + _spent(known, key, known.users[key], kind, now)
    whole = _spent(known, slug, known.days.get(slug, {}), kind, now)
    most = sorted(of, key=lambda user: (-of[user], user))[:LISTED]
    return [
        TopSpender(user, of[user], min(1.0, of[user] / whole) if whole else 0.0)
        for user in most
        if of[user] > 0
    ]


def _spent(known: Known, key: str, days: Days, kind: Kind, now: datetime) -> int:
    today = days.get(now.date(), NOTHING)
    return _part(baseline.spend(today, (), now, half_hour=known.half_hours.get(key)), kind)


def _part(spend: Spend, kind: Kind) -> int:
    if kind is Kind.BURN:
        return spend.latest_hour
    return spend.latest_half_hour if kind is Kind.SURGE else spend.today


def sentence(most: Sequence[TopSpender]) -> str:
    """Return the first NAMED spenders as one sentence.

    Example:
        >>> sentence([TopSpender(12, 810, 0.81), TopSpender(7, 30, 0.03)])
        'Top spenders: user 12 (81 %), user 7 (3 %).'
    """
    named = [f"user {each.user} ({100 * each.share:.0f} %)" for each in most[:NAMED]]
    return f"Top spenders: {', '.join(named)}." if named else "None of it is from users' calls."


def figures(most: Sequence[TopSpender]) -> list[dict[str, Any]]:
    """Return the spenders as JSON."""
    return [
        {"user": each.user, "spent_micro": each.micro, "share": round(each.share, 3)}
        for each in most
    ]
