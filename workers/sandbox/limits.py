"""The provider's rate limits: three buckets for each model that refill continuously."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

GENEROUS = 1_000_000_000


class RateLimits(BaseModel):
    """Limits of one model, per minute."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: int = Field(default=GENEROUS, ge=1)
    input_tokens: int = Field(default=GENEROUS, ge=1)
    """Cache reads do not count."""

    output_tokens: int = Field(default=GENEROUS, ge=1)


class Bucket:
    """A token bucket: starts full, refills at `limit` per minute, can be overdrawn."""

    def __init__(self, limit: int, now: float) -> None:
        self.limit = limit
        self._level = float(limit)
        self._at = now

    def level(self, now: float) -> float:
        """Return the level now; below zero when overdrawn."""
        self._level = min(self.limit, self._level + max(0.0, now - self._at) * self.limit / 60)
        self._at = max(now, self._at)
        return self._level

    def wait_s(self, amount: float, now: float) -> float:
        """Return the seconds until the bucket holds `amount` (at most all of it); 0 if it does."""
        missing = min(amount, self.limit) - self.level(now)
        return max(0.0, missing * 60 / self.limit)

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, even if the bucket holds less."""
        self.level(now)
        self._level -= amount

    def headers(self, now: float) -> tuple[int, int, str]:
        """Return the limit, the rest, and the time at which the bucket is full (RFC 3339)."""
        level = self.level(now)
        full_at = now + (self.limit - level) * 60 / self.limit
        reset = datetime.fromtimestamp(math.ceil(full_at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return self.limit, max(0, int(level)), reset


class Limiter:
    """The buckets of all models."""

    def __init__(self, limits: Mapping[str, RateLimits], now: float) -> None:
        self.limits = dict(limits)
        self._models: dict[str, dict[str, Bucket]] = {}
        self._now = now

    def _buckets(self, model: str) -> dict[str, Bucket]:
        if model not in self._models:
            limits = self.limits.get(model) or self.limits.get("*") or RateLimits()
            self._models[model] = {
                "requests": Bucket(limits.requests, self._now),
                "input-tokens": Bucket(limits.input_tokens, self._now),
                "output-tokens": Bucket(limits.output_tokens, self._now),
            }
        return self._models[model]

    def admit(self, model: str, input_tokens: int, now: float) -> tuple[str, int] | None:
        """Take one request and its input tokens, or return the limit and the seconds to wait."""
        buckets = self._buckets(model)
        needs = {"requests": 1, "input-tokens": input_tokens, "output-tokens": 1}
        waits = {name: buckets[name].wait_s(amount, now) for name, amount in needs.items()}
        worst = max(waits, key=lambda name: waits[name])
        if waits[worst] > 0:
            return worst, math.ceil(waits[worst])
        buckets["requests"].take(1, now)
        buckets["input-tokens"].take(input_tokens, now)
        return None

    def produced(self, model: str, output_tokens: int, now: float) -> None:
        """Take the output tokens of an answer."""
        self._buckets(model)["output-tokens"].take(output_tokens, now)

    def headers(self, model: str, now: float) -> dict[str, str]:
        """Return the `anthropic-ratelimit-*` headers of a model."""
        rows = {name: bucket.headers(now) for name, bucket in self._buckets(model).items()}
        inward, outward = rows["input-tokens"], rows["output-tokens"]
        rows["tokens"] = (
            inward[0] + outward[0],
            inward[1] + outward[1],
            max(inward[2], outward[2]),
        )
        return {
            f"anthropic-ratelimit-{name}-{what}": str(value)
            for name, row in rows.items()
            for what, value in zip(("limit", "remaining", "reset"), row, strict=True)
        }
