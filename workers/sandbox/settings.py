"""The settings of the sandbox: its speed and its limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from workers.sandbox.limits import RateLimits

Clock = Callable[[], float]
"""Returns seconds since 1970. The cache, the rate limits and the record use it."""


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """The settings. With the defaults, answers are as fast as the machine allows."""

    first_byte_s: float = 0.0
    """Seconds before the first byte of an answer."""

    tokens_per_second: float = 0.0
    """Speed after the first byte; 0 means no limit."""

    latency_s: float | None = None
    """Seconds for a whole answer of any length; replaces the two settings above."""

    rate_limits: Mapping[str, RateLimits] = field(default_factory=dict)
    """Limits by model id, `*` for all other models. Other models have very high limits."""

    error_rates: float = 0.0
    """Factor of the rates at which answers have faults of a model; 0 gives honest answers."""

    seed: int = 0
    """Seed of the first fault plan."""

    record_file: Path | None = None
    """File to which calls are appended as JSON lines, or None."""

    record_size: int = 100_000
    """Calls kept in memory; the oldest are removed first."""
