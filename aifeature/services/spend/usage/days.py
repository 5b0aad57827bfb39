"""Comparison of the ledger's sums with the provider's, by UTC day and model."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.db.models import Count, Q, Sum

from aifeature.models import Attempt, AttemptState
from aifeature.services.spend.usage.exports import KINDS, Days
from workers.inference import NotPriced, pricing

_RATES: Final = dict(zip(KINDS, ("input", "output", "cache_read", "cache_write"), strict=True))

_NOT_YET_SURE: Final = (AttemptState.UNKNOWN, AttemptState.STARTED)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger's sums of a day and a model; amounts in micro-dollars."""

    tokens: Counter[str] = field(default_factory=Counter)
    """Of settled calls with a cost."""

    settled_micro: int = 0
    estimated: int = 0
    """Number of estimated calls, counted at their ceiling."""
    estimated_micro: int = 0
    unknown: int = 0
    """Number of unknown and open calls, counted at their bound."""
    unknown_micro: int = 0

    @property
    def most_micro(self) -> int:
        """The most that the provider may bill."""
        return self.settled_micro + self.estimated_micro + self.unknown_micro


@dataclass(frozen=True, slots=True)
class DayDifference:
    """A day and a model for which the provider's tokens differ from those of settled calls."""

    day: date
    model: str
    tokens: dict[str, tuple[int, int]]
    """By kind: tokens of settled calls in the ledger, tokens of the provider."""

    ledger: Ledger
    worth_micro: int | None
    """Cost of the difference, negative if the ledger has more; None without a price. It uses the
    rates of short prompts, since sums do not show which calls had long, dearer ones."""

    @property
    def provider_micro(self) -> int | None:
        """Approximate bill of the provider; None without a price."""
        return None if self.worth_micro is None else self.ledger.settled_micro + self.worth_micro

    @property
    def explained(self) -> bool:
        """Whether settled <= provider <= settled + estimated + unknown."""
        if self.provider_micro is None or self.provider_micro > self.ledger.most_micro:
            return False
        return all(here <= there for here, there in self.tokens.values())


def compare(days: Days, *, provider: str) -> list[DayDifference]:
    """Return the differences by day and model, including explained ones.

    The ledger and the provider may assign a call at midnight to different days. Then both days
    differ by the same tokens. Rows of other providers are ignored.
    """
    ledger = _ledger(days, provider)
    differences = []
    for day, model in sorted(days.sums.keys() | ledger.keys()):
        here, there = ledger.get((day, model), Ledger()), days.sums.get((day, model), Counter())
        tokens = {kind: (here.tokens[kind], there[kind]) for kind in KINDS}
        if any(one != other for one, other in tokens.values()):
            worth = _worth(model, {kind: b - a for kind, (a, b) in tokens.items()})
            differences.append(DayDifference(day, model, tokens, here, worth))
    return differences


def _ledger(days: Days, provider: str) -> dict[tuple[date, str], Ledger]:
    begin = datetime.combine(days.first, time(), UTC)
    end = datetime.combine(days.last + timedelta(days=1), time(), UTC)
    settled = Q(state=AttemptState.SETTLED)
    estimated, unknown = Q(state=AttemptState.ESTIMATED), Q(state__in=_NOT_YET_SURE)
    # Tokens of a call without a cost, such as a refusal without output, are not billed.
    tokens = {f"sum_{kind}": Sum(kind, filter=settled & Q(cost_micro__gt=0)) for kind in KINDS}
    rows: Any = (
        Attempt.objects.filter(provider=provider, started_at__gte=begin, started_at__lt=end)
        .order_by("day", "model")
        .values("day", "model")
        .annotate(
            settled_micro=Sum("cost_micro", filter=settled),
            estimated=Count("pk", filter=estimated),
            estimated_micro=Sum("cost_micro", filter=estimated),
            unknown=Count("pk", filter=unknown),
            unknown_micro=Sum("bound_micro", filter=unknown),
            **tokens,
        )
    )
    return {
        (row["day"], row["model"]): Ledger(
            Counter({kind: row[f"sum_{kind}"] or 0 for kind in KINDS}),
            settled_micro=int(row["settled_micro"] or 0),
            estimated=row["estimated"],
            estimated_micro=int(row["estimated_micro"] or 0),
            unknown=row["unknown"],
            unknown_micro=int(row["unknown_micro"] or 0),
        )
        for row in rows
    }


def _worth(model: str, tokens: dict[str, int]) -> int | None:
    try:
        short = pricing.price_list(model)[0]
    except NotPriced:
        return None
    micro = sum(count * getattr(short, _RATES[kind]) for kind, count in tokens.items())
    worth: int = math.ceil(micro)
    return worth
