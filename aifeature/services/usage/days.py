"""Holds the ledger's sums by UTC day and model against the provider's."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.db.models import Count, Q, Sum

from aifeature.models import Attempt, AttemptState
from aifeature.services.usage.exports import KINDS, Days
from workers.inference import NotPriced, pricing

_RATES: Final = dict(zip(KINDS, ("input", "output", "cache_read", "cache_write"), strict=True))


@dataclass(frozen=True, slots=True)
class DayDifference:
    """A day and a model on which the sums are not the same."""

    day: date
    model: str
    tokens: dict[str, tuple[int, int]]
    """By kind: the ledger's and the provider's."""

    micro: int | None
    """What the difference costs at the rates of short prompts; negative: the ledger has more.
    None: the model has no price. A sum does not tell which calls were long and dearer."""

    unknown: int
    """Calls of the day that the ledger holds as unknown or open: their tokens are not in it."""


def compare(days: Days, *, provider: str) -> list[DayDifference]:
    """Every day and model on which they differ, in order.

    A call at midnight may count for one day here and for the next one there: then both days differ
    by the same tokens.

    Args:
        days: From the export.
        provider: Whose calls of the ledger to look at, as `Attempt.provider` names it.
    """
    ledger, unknown = _ledger(days, provider)
    found = []
    for day, model in sorted(days.sums.keys() | ledger.keys()):
        here, there = ledger.get((day, model), Counter()), days.sums.get((day, model), Counter())
        tokens = {kind: (here[kind], there[kind]) for kind in KINDS}
        if any(one != other for one, other in tokens.values()):
            worth = _worth(model, {kind: b - a for kind, (a, b) in tokens.items()})
            found.append(DayDifference(day, model, tokens, worth, unknown[day, model]))
    return found


def _ledger(
    days: Days, provider: str
) -> tuple[dict[tuple[date, str], Counter[str]], Counter[tuple[date, str]]]:
    begin = datetime.combine(days.first, time(), UTC)
    end = datetime.combine(days.last + timedelta(days=1), time(), UTC)
    unseen = Q(state__in=[AttemptState.UNKNOWN, AttemptState.STARTED])
    rows: Any = (
        Attempt.objects.filter(provider=provider, started_at__gte=begin, started_at__lt=end)
        .order_by("day", "model")
        .values("day", "model")
        .annotate(unseen=Count("pk", filter=unseen), **{f"sum_{k}": Sum(k) for k in KINDS})
    )
    sums: dict[tuple[date, str], Counter[str]] = {}
    unknown: Counter[tuple[date, str]] = Counter()
    for row in rows:
        key = row["day"], row["model"]
        sums[key] = Counter({kind: row[f"sum_{kind}"] for kind in KINDS})
        unknown[key] = row["unseen"]
    return sums, unknown


def _worth(model: str, tokens: dict[str, int]) -> int | None:
    try:
        short = pricing.price_list(model)[0]
    except NotPriced:
        return None
    micro = sum(count * getattr(short, _RATES[kind]) for kind, count in tokens.items())
    worth: int = math.ceil(micro)
    return worth
