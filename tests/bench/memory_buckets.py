"""The memory of Redis for 200,000 users, each with a request and a token bucket in use."""

from __future__ import annotations

from typing import Final

import redis

from tests.bench.report import Aim, BrokenRunError, Figure
from tests.bench.stack import Stack
from workers.inference.shared_state import connect
from workers.inference.token_bucket import SECOND, TokenBuckets

USERS: Final = 200_000
BATCH: Final = 200
MEGABYTE: Final = 1_000_000
COST: Final = 59 * SECOND
"""So that no bucket is full again before the last one exists."""


def run(stack: Stack, _rounds: int) -> Figure:
    """Take from two buckets of each user, and measure the additional memory of Redis."""
    with stack.bed("memory_buckets") as bed, redis.Redis.from_url(bed.redis_url) as raw:
        buckets = TokenBuckets(connect(bed.redis_url, {}))
        buckets.take([("warm", 1)])
        before = int(raw.info("memory")["used_memory"])
        for first in range(0, USERS, BATCH):
            users = range(first, first + BATCH)
            buckets.take(
                [
                    (f"aif:{kind}:summarize:{user}", COST)
                    for user in users
                    for kind in ("requests", "tokens")
                ]
            )
        used = int(raw.info("memory")["used_memory"]) - before
        kept = int(raw.dbsize())
    if kept < 2 * USERS:
        raise BrokenRunError(f"{kept} buckets are left of {2 * USERS}: filling took too long")
    values = {"users": USERS, "redis_mb": used / MEGABYTE, "bytes_per_bucket": used / kept}
    note = "growth of used_memory; each key expires when its bucket is full, a minute at most"
    return Figure("memory_buckets", values, (Aim("redis_mb", "at most", 100),), note)
