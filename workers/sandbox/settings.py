"""How fast the stand-in answers and how much it lets through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from workers.sandbox.limits import RateLimits

Clock = Callable[[], float]
"""Seconds since the epoch: what the cache, the rate limits and the record go by."""


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """All of the stand-in's settings. The defaults answer as fast as the machine can."""

    first_byte_s: float = 0.0
    """Seconds before the first byte of an answer."""

    tokens_per_second: float = 0.0
    """Speed of writing after the first byte; 0 is unlimited."""

    latency_s: float | None = None
    """Seconds a whole answer takes, whatever its length; overrides the two above."""

    rate_limits: Mapping[str, RateLimits] = field(default_factory=dict)
    """Enforced limits by model id, `*` for every other model; a model in neither has ample ones."""

    seed: int = 0
    """Makes the dice of the first fault plan repeatable."""

    record_file: Path | None = None
    """Where each call is appended as JSON lines, or None."""

    record_size: int = 100_000
    """Calls kept in memory; the oldest go first."""
