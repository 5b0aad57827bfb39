"""The time that a job spends in Redis: its submission, and admission and end of its call."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import redis

from tests.bench.figures import percentile
from tests.bench.report import Aim, BrokenRunError, Figure
from tests.bench.stack import Stack
from workers.inference.grants import UserTokens
from workers.inference.rate_gate import RateGate
from workers.inference.shared_state import connect
from workers.inference.token_bucket import RequestLimiter
from workers.inference.types import TokenUsage

JOBS: Final = 5_000
WARM_UP: Final = 500
USERS: Final = 200
MODEL: Final = "claude-haiku-5-5"
USAGE: Final = TokenUsage(input_tokens=700, output_tokens=180)
HEADERS: Final[Mapping[str, str]] = {
    f"anthropic-ratelimit-{name}-{what}": "1000000000"
    for name in ("requests", "input-tokens", "output-tokens")
    for what in ("limit", "remaining")
}
"""All limits are known and none binds, so every gate is checked."""


def run(stack: Stack, _rounds: int) -> Figure:
    """Take one job after the other through all gates, on a real Valkey."""
    with stack.bed("gate") as bed, redis.Redis.from_url(bed.redis_url) as raw:
        state = connect(bed.redis_url, {})
        limiter, gate = RequestLimiter(state), RateGate(state)
        for number in range(WARM_UP):
            _job(limiter, gate, number)
        before = _commands(raw)
        times = [_job(limiter, gate, number) for number in range(JOBS)]
        # Reading the count is a command itself.
        round_trips = (_commands(raw) - before - 1) / JOBS
    values: dict[str, Any] = {
        "p50_us": percentile(times, 50),
        "p95_us": percentile(times, 95),
        "round_trips": round_trips,
    }
    note = f"request, admission and end of {JOBS} jobs of {USERS} users, one thread, real Valkey"
    return Figure("gate", values, (Aim("round_trips", "at most", 3),), note)


def _job(limiter: RequestLimiter, gate: RateGate, number: int) -> float:
    """Return the microseconds of one job in the gates."""
    user = f"summarize:{number % USERS}"
    begun = time.perf_counter()
    taken = limiter.take(user, 1_000_000)
    admission = gate.admit(
        model=MODEL,
        input_tokens=3_000,
        output_tokens=1_024,
        user=UserTokens(user, 1_000_000_000),
    )
    admission.succeeded(USAGE, HEADERS, 500)
    took = time.perf_counter() - begun
    if not taken.allowed:
        raise BrokenRunError("a request was refused")
    return took * 1_000_000


def _commands(raw: redis.Redis) -> int:
    """Return the number of commands from clients, without those of scripts."""
    stats: dict[str, dict[str, int]] = raw.info("commandstats")
    return sum(
        stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval", "info")
    )
