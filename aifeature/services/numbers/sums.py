"""Sums over a time, with the rates and percentiles that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field

from aifeature.policies import buckets
from aifeature.policies.buckets import Counts


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of the rows of `NumberSlot` over a time. Each field is as in that model."""

    ended: int = 0
    failed: int = 0
    slow: int = 0
    degraded: int = 0
    fallbacks: int = 0
    others: int = 0
    calls: int = 0
    refusals: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    spend_micro: int = 0
    cache_saved_micro: int = 0
    votes: int = 0
    votes_down: int = 0
    guard_hits: int = 0
    latency: Counts = field(default_factory=tuple)
    wait: Counts = field(default_factory=tuple)
    ttft: Counts = field(default_factory=tuple)

    @property
    def error_rate(self) -> float | None:
        """Share of failures, 0 to 1; None without ended jobs."""
        return self.failed / self.ended if self.ended else None

    @property
    def timed(self) -> int:
        """Jobs with a latency."""
        return sum(self.latency)

    @property
    def slow_rate(self) -> float | None:
        return self.slow / self.timed if self.timed else None

    @property
    def down_rate(self) -> float | None:
        return self.votes_down / self.votes if self.votes else None

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def cache_rate(self) -> float | None:
        """Share of the prompt tokens that were read from the provider's cache."""
        return self.cache_read_tokens / self.prompt_tokens if self.prompt_tokens else None

    @property
    def p50_s(self) -> float | None:
        return _seconds(self.latency, 0.5)

    @property
    def p95_s(self) -> float | None:
        return _seconds(self.latency, 0.95)

    @property
    def wait_p95_s(self) -> float | None:
        return _seconds(self.wait, 0.95)

    @property
    def ttft_p50_s(self) -> float | None:
        return _seconds(self.ttft, 0.5)


def _seconds(counts: Counts, share: float) -> float | None:
    found = buckets.percentile_ms(counts, share)
    return None if found is None else found / 1000
