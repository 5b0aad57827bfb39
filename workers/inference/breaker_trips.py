"""State shared by the breakers of all models of one provider: failing models, and an outage.

Two models that fail within a minute are an outage of the provider. Until the breaker of one of them
closes, jobs wait and no call falls back to a more expensive model. `lua/breaker.lua` keeps the same
state in a Redis hash for all processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class BreakerTrips:
    """Trips of one process. Not thread-safe. Times are microseconds."""

    first: dict[str, int] = field(default_factory=dict)
    """By model: time when its breaker opened, if it has not closed since."""

    last: dict[str, int] = field(default_factory=dict)
    """By model: time of its last trip or failed probe."""

    outage: bool = False

    def failed(self, model: str, *, now: int, together_us: int) -> None:
        """Record that the breaker of a model opened, or opened again."""
        self.first.setdefault(model, now)
        self.last[model] = now
        others = (at for name, at in self.last.items() if name != model)
        if any(now - at <= together_us for at in others):
            self.outage = True

    def closed(self, model: str) -> None:
        """Record that a model works again. This ends an outage of the provider."""
        self.first.pop(model, None)
        self.last.pop(model, None)
        self.outage = False

    def first_of_others(self, model: str) -> int:
        """Return the time of the latest trip of another model. 0: all others are closed."""
        return max((at for name, at in self.first.items() if name != model), default=0)


def failing(fields: Mapping[str, str]) -> tuple[str, ...]:
    """Return the models of an outage from the Redis hash. Empty without an outage."""
    if "outage" not in fields:
        return ()
    return tuple(sorted(name[2:] for name in fields if name.startswith("l:")))


def fields_of(trips: BreakerTrips) -> dict[str, str]:
    """Return a process's trips in the form of the Redis hash."""
    outage = {"outage": "1"} if trips.outage else {}
    return outage | {f"l:{name}": str(at) for name, at in trips.last.items()}
