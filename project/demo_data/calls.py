"""The provider calls of a synthetic request: how long they took, their tokens and their cost."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from project.demo_data.rows import Call
from project.demo_data.story import ANSWER, SUMMARIZE, TRIAGE
from workers.inference import TokenUsage, pricing

LEAST_CACHED: Final = 1_000
"""Fewer tokens are too few for the provider's cache."""

CACHE_LASTS: Final = timedelta(minutes=5)
LONGEST_S: Final = 28.0
BOUND: Final = 3
"""A call reserves about this many times its cost."""


@dataclass(frozen=True, slots=True)
class Size:
    """Usual tokens and seconds of a call. Both are spread log-normally."""

    fixed: int
    """Tokens of instructions and sources. The provider caches many."""
    input: int
    output: int
    seconds: float
    spread: float


SIZES: Final = {
    ANSWER: Size(fixed=15_400, input=60, output=165, seconds=2.6, spread=0.42),
    TRIAGE: Size(fixed=1_150, input=190, output=85, seconds=1.5, spread=0.36),
    SUMMARIZE: Size(fixed=640, input=1_700, output=150, seconds=3.1, spread=0.42),
}
LONG: Final = Size(fixed=640, input=38_000, output=190, seconds=6.4, spread=0.26)
"""Of a long document."""


@dataclass(slots=True)
class Provider:
    """Makes calls. It has the times of the prompts in the provider's cache."""

    rng: random.Random
    prices_at: datetime
    _cached: dict[tuple[str, str, str], datetime] = field(default_factory=dict)

    def answered(
        self, size: Size, prompt: tuple[str, str], model: str, began: datetime, *, purpose: str
    ) -> Call:
        """Return a call that was answered and billed."""
        took = min(LONGEST_S, size.seconds * self._spread(size.spread))
        usage = self._usage(size, (*prompt, model), began)
        cost = pricing.cost_micro(model, usage, at=self.prices_at)
        return Call(
            id=self.uuid(),
            purpose=purpose,
            state="settled",
            model=model,
            reason="",
            began=began,
            ended=began + timedelta(seconds=took),
            usage=usage,
            cost_micro=cost,
            saved_micro=pricing.cache_saved_micro(model, usage, at=self.prices_at),
            bound_micro=BOUND * cost + 900,
            ttft_ms=round(1000 * min(took * 0.8, 0.35 + 0.2 * took * self._spread(0.3))),
            stop_reason="end_turn",
        )

    def failed(self, size: Size, model: str, began: datetime, *, code: str) -> Call:
        """Return a call that the provider did not answer and does not bill."""
        usage = TokenUsage(size.fixed + size.input, size.output)
        return Call(
            id=self.uuid(),
            purpose="generation",
            state="failed",
            model=model,
            reason="",
            began=began,
            ended=began + timedelta(seconds=0.4 + self.rng.random()),
            bound_micro=BOUND * pricing.cost_micro(model, usage, at=self.prices_at),
            error_code=code,
        )

    def uuid(self) -> UUID:
        """Return a UUID of version 4."""
        return UUID(int=self.rng.getrandbits(128), version=4)

    def _usage(self, size: Size, prompt: tuple[str, str, str], at: datetime) -> TokenUsage:
        own, read, write = size.input * self._spread(0.35), 0, 0
        if size.fixed < LEAST_CACHED:
            own += size.fixed
        elif at - self._cached.get(prompt, at - CACHE_LASTS) < CACHE_LASTS:
            read = size.fixed
        else:
            write = size.fixed
        self._cached[prompt] = at
        return TokenUsage(
            round(own),
            round(size.output * self._spread(0.25)),
            cache_read_tokens=read,
            cache_write_tokens=write,
        )

    def _spread(self, sigma: float) -> float:
        return math.exp(self.rng.gauss(0, sigma))
