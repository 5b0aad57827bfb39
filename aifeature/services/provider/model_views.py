"""The models of the provider for those who watch them: what is forced, and how each does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aifeature.models import Forced, ModelControl
from aifeature.services.provider import factory
from workers.inference import catalog


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """One limit of the provider that was learned from its answers."""

    name: str
    per_minute: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Live:
    """What the workers know of a model now."""

    state: Literal["closed", "open", "half_open"]
    calls: int
    """Calls the rates are taken of."""
    failure_rate: float
    slow_rate: float
    """Shares of these calls, 0 to 1."""
    open_for_s: float = 0
    """Seconds until a call is let through to try; 0: it is not open."""
    limits: tuple[LimitStatus, ...] = ()
    """Empty: nothing was learned yet."""
    blocked_s: float = 0
    """Seconds for which the provider asked us to stay away."""
    shared: bool = True
    """False: Redis is away, and this is what this one process knows."""


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model of the catalog, what is forced, and how it does."""

    model: str
    live: Live
    forced: Forced = Forced.AUTOMATIC
    reason: str = ""


def views() -> list[ModelView]:
    """Every model of the catalog, in its order: one query, and two looks into Redis each."""
    rows = ModelControl.objects.in_bulk()
    return [view(rows.get(model) or ModelControl(model=model)) for model in catalog.known_models()]


def view(row: ModelControl) -> ModelView:
    """A model as its row and the workers have it."""
    return ModelView(row.model, _live(row.model), Forced(row.forced), row.reason)


def _live(model: str) -> Live:
    breaker, limits = factory.gate().breaker(model), factory.gate().limits(model)
    learned = limits.limits if limits else ()
    return Live(
        state=breaker.state,
        calls=breaker.calls,
        failure_rate=breaker.failure_rate,
        slow_rate=breaker.slow_rate,
        open_for_s=breaker.open_for_s,
        limits=tuple(LimitStatus(one.name, one.per_minute, one.remaining) for one in learned),
        blocked_s=limits.blocked_s if limits else 0,
        shared=breaker.shared,
    )
