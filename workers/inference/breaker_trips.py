"""What the breakers of all models of one provider know together: which fail, and whether all do.

Two models that fail within a minute of each other are an outage of the provider: then jobs wait,
and none goes to a dearer model, until one of the models is closed again. `lua/breaker.lua` keeps
the same in Redis, in one hash for all processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class BreakerTrips:
    """Of one process. Not safe for threads by itself. Times are microseconds."""

    first: dict[str, int] = field(default_factory=dict)
    """When each model opened that has not closed since."""

    last: dict[str, int] = field(default_factory=dict)
    """When it was last seen to fail: it opened, or a probe of it failed."""

    outage: bool = False

    def failed(self, model: str, *, now: int, together_us: int) -> None:
        """This model opened, or opened again."""
        self.first.setdefault(model, now)
        self.last[model] = now
        others = (at for name, at in self.last.items() if name != model)
        if any(now - at <= together_us for at in others):
            self.outage = True

    def closed(self, model: str) -> None:
        """This model answers again, so the provider does."""
        self.first.pop(model, None)
        self.last.pop(model, None)
        self.outage = False

    def first_of_others(self, model: str) -> int:
        """When the latest of the other models opened; 0: all others are closed."""
        return max((at for name, at in self.first.items() if name != model), default=0)


def failing(fields: Mapping[str, str]) -> tuple[str, ...]:
    """The models of an outage, from the hash in Redis; none while there is no outage."""
    if "outage" not in fields:
        return ()
    return tuple(sorted(name[2:] for name in fields if name.startswith("l:")))


def fields_of(trips: BreakerTrips) -> dict[str, str]:
    """The hash that stands for what one process knows."""
    outage = {"outage": "1"} if trips.outage else {}
    return outage | {f"l:{name}": str(at) for name, at in trips.last.items()}
