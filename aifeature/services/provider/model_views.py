"""State of the provider's models for operators: forced breakers and live figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aifeature.models import Forced, ModelControl
from aifeature.services.provider import factory
from workers.inference import catalog


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """A limit of the provider, learned from its answers."""

    name: str
    per_minute: int
    remaining: int


@dataclass(frozen=True, slots=True)
class Live:
    """Current state of a model's breaker and limits."""

    state: Literal["closed", "open", "half_open"]
    calls: int
    """Calls behind the rates."""
    failure_rate: float
    slow_rate: float
    """Both are shares of `calls`, 0 to 1."""
    open_for_s: float = 0
    """Seconds until the breaker lets a trial call through; 0 if it is not open."""
    probe_due: bool = False
    """Whether the next call would first send a probe."""
    unused_s: float = 0
    """Seconds for which a half-open breaker admitted calls and none came; 0 otherwise."""
    limits: tuple[LimitStatus, ...] = ()
    """Empty until some are learned."""
    blocked_s: float = 0
    """Seconds for which the provider requested that no call is sent."""
    shared: bool = True
    """False if Redis is unavailable and this is the state of this process only."""


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model of the catalog with its forced and live state."""

    model: str
    live: Live
    forced: Forced = Forced.AUTOMATIC
    reason: str = ""


def views() -> list[ModelView]:
    """Return every model in the catalog's order. One query, and two Redis calls for each model."""
    rows = ModelControl.objects.in_bulk()
    return [view(rows.get(model) or ModelControl(model=model)) for model in catalog.known_models()]


def view(row: ModelControl) -> ModelView:
    """Return the view of a model. `row` may be unsaved."""
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
        probe_due=breaker.probe_due,
        unused_s=breaker.unused_s,
        limits=tuple(LimitStatus(one.name, one.per_minute, one.remaining) for one in learned),
        blocked_s=limits.blocked_s if limits else 0,
        shared=breaker.shared,
    )
