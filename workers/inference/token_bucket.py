"""Token buckets that all processes share, exact at any concurrency.

The arithmetic is GCRA in whole microseconds: a bucket is one number, the moment it is full again,
and a cost is the time it takes to refill. A bucket holds a minute's worth, whatever its rate, so a
rate may change at any moment and a bucket that is idle for a minute costs nothing. `lua/bucket.lua`
is the same in Redis, by the clock of Redis.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from workers.inference.shared_state import RedisUnavailable, Script, SharedState

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
"""Microseconds: what a bucket holds."""

LONGEST: Final = 24 * 3600 * SECOND
"""Microseconds: no single take keeps a bucket in debt for longer."""

LOCAL_SHARE: Final = Fraction(1, 10)
"""Part of a rate that each process allows by itself while Redis is away."""

_MANY: Final = 10_000
"""Buckets of a process that are kept before it looks which are full again."""

_TAKE: Final = Script("bucket", "take")


def cost_us(amount: int, per_minute: Decimal | int) -> int:
    """Microseconds that `amount` takes to refill at this rate, rounded up.

    Raises:
        ValueError: The rate is not above zero: nothing would ever fit.
    """
    if per_minute <= 0:
        raise ValueError(f"a rate of {per_minute} per minute lets nothing through, ever")
    return min(math.ceil(amount * MINUTE / Fraction(per_minute)), LONGEST)


def rate_millionths(per_minute: Decimal | int) -> int:
    """A rate in millionths a minute, as the buckets in Redis keep it; at least 1."""
    return max(round(Fraction(per_minute) * 1_000_000), 1)


def slack_us(cost: int) -> int:
    """Microseconds that an empty bucket has lost at most by rounding each cost up.

    Without it seven a minute would let in six at once. Less than a cost: one more never fits.
    """
    return min(MINUTE // cost, cost - 1) if 0 < cost < MINUTE else 0


def local_rate(per_minute: Decimal | int) -> Fraction:
    """What one process allows while Redis is away: a tenth, at least one, never more than all."""
    rate = Fraction(per_minute)
    return min(rate, max(rate * LOCAL_SHARE, Fraction(1)))


@dataclass(frozen=True, slots=True)
class Level:
    """One bucket as a take found and left it, in microseconds."""

    wait: int
    """Until the amount fits; 0 if it did."""

    debt: int
    """Until the bucket is full."""


@dataclass(frozen=True, slots=True)
class BucketResult:
    """What a take from several buckets came to."""

    allowed: bool
    """All fitted and all were taken; otherwise nothing was."""

    levels: tuple[Level, ...]


class BucketModel:
    """The arithmetic in plain Python; also the buckets of a process while Redis is away.

    Not safe for threads by itself.
    """

    def __init__(self) -> None:
        self._tats: dict[str, int] = {}
        self._prune_at = _MANY

    def take(self, costs: Sequence[tuple[str, int]], *, now: int) -> BucketResult:
        """Take each cost from its bucket, all or nothing; below zero it is given back.

        Args:
            costs: Buckets, each once, and microseconds.
            now: Microseconds since any fixed moment.
        """
        waits = [self._wait(key, cost, now) for key, cost in costs]
        allowed = not any(waits)
        if allowed:
            for key, cost in costs:
                self._put(key, cost, now)
            self._prune(now)
        debts = [max(self._tats.get(key, 0) - now, 0) for key, _ in costs]
        return BucketResult(allowed, tuple(map(Level, waits, debts)))

    def _wait(self, key: str, cost: int, now: int) -> int:
        if cost < 0:
            return 0
        debt = max(self._tats.get(key, 0) - now, 0)
        # What is larger than the bucket fits when it is full, and leaves it in debt.
        return max(debt + min(cost, MINUTE) - MINUTE - slack_us(cost), 0)

    def _put(self, key: str, cost: int, now: int) -> None:
        if not cost:
            return
        tat = self._tats.get(key, 0)
        tat = tat + cost if cost < 0 else max(tat, now) + cost
        if tat > now:
            self._tats[key] = tat
        else:
            self._tats.pop(key, None)

    def _prune(self, now: int) -> None:
        if len(self._tats) < self._prune_at:
            return
        self._tats = {key: tat for key, tat in self._tats.items() if tat > now}
        self._prune_at = max(_MANY, 2 * len(self._tats))


class TokenBuckets:
    """Buckets in Redis; a step takes one round trip, however many it takes from."""

    def __init__(self, state: SharedState) -> None:
        self._state = state

    def take(
        self,
        costs: Sequence[tuple[str, int]],
        *,
        now: int | None = None,
        per_minute: Decimal | int | None = None,
    ) -> BucketResult:
        """As `BucketModel.take`, shared by all processes, by the clock of Redis.

        Args:
            costs: Buckets, each once, and microseconds.
            now: Microseconds since the epoch instead of the clock of Redis.
            per_minute: The rate of the buckets. A debt that was taken at a lower one shrinks.

        Raises:
            StateAway: Redis does not answer.
        """
        keys = [key for key, _ in costs] + [f"{key}:rate" for key, _ in costs]
        args: dict[str, Any] = {"costs": [cost for _, cost in costs]}
        if now is not None:
            args["now"] = now
        if per_minute is not None:
            args["rate"] = rate_millionths(per_minute)
        allowed, *rest = self._state.run(_TAKE, keys, args)
        levels = zip(map(int, rest[::2]), map(int, rest[1::2]), strict=True)
        return BucketResult(bool(allowed), tuple(Level(*level) for level in levels))


@dataclass(frozen=True, slots=True)
class RateLimitResult:
    """The answer to one request, in what `Retry-After` and `RateLimit` say."""

    allowed: bool
    limit: int
    """Whole requests that the bucket holds, at least 1."""

    remaining: int
    """Whole requests that would be let in now."""

    retry_after_s: int
    """Whole seconds after which the request fits, not one too many; 0 if it did."""

    reset_s: int
    """Whole seconds until the bucket is full again."""


class RequestLimiter:
    """How many requests a minute; never without a limit, whatever becomes of Redis."""

    def __init__(self, state: SharedState, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Args:
            state: Where the buckets are.
            clock: Seconds that never go back, for the buckets of this process.
        """
        self._shared = TokenBuckets(state)
        self._clock = clock
        self._local = BucketModel()
        self._lock = threading.Lock()

    def take(
        self, key: str, per_minute: Decimal | int, *, amount: int = 1, now: int | None = None
    ) -> RateLimitResult:
        """Ask to let a request in.

        Args:
            key: Names the bucket, for example by feature and user.
            per_minute: The rate; it may differ from the last time, and be a fraction.
            amount: Requests asked for; 0 only looks.
            now: Microseconds since the epoch instead of the clock of Redis.

        Raises:
            ValueError: The rate is not above zero.
        """
        bucket, rate = f"aif:requests:{key}", Fraction(per_minute)
        try:
            cost = cost_us(amount, per_minute)
            taken = self._shared.take([(bucket, cost)], now=now, per_minute=per_minute)
        except RedisUnavailable:
            rate = local_rate(per_minute)
            taken = self._take_here(f"{bucket}@{rate}", math.ceil(amount * MINUTE / rate))
        return _told(taken, rate)

    def give_back(self, key: str, per_minute: Decimal | int, *, now: int | None = None) -> None:
        """Undo one take, best effort: the request was let in and then refused for other reasons."""
        bucket = f"aif:requests:{key}"
        try:
            cost = -cost_us(1, per_minute)
            self._shared.take([(bucket, cost)], now=now, per_minute=per_minute)
        except RedisUnavailable:
            rate = local_rate(per_minute)
            self._take_here(f"{bucket}@{rate}", -math.ceil(MINUTE / rate))

    def _take_here(self, bucket: str, cost: int) -> BucketResult:
        with self._lock:
            return self._local.take([(bucket, cost)], now=int(self._clock() * SECOND))


def _told(taken: BucketResult, rate: Fraction) -> RateLimitResult:
    (level,) = taken.levels
    each = math.ceil(MINUTE / rate)
    room = max(MINUTE + slack_us(each) - level.debt, 0) // each
    return RateLimitResult(
        allowed=taken.allowed,
        limit=max(math.floor(rate), 1),
        # A full bucket lets one in, however small it is.
        remaining=max(room, 0 if level.debt else 1),
        retry_after_s=math.ceil(level.wait / SECOND),
        reset_s=math.ceil(level.debt / SECOND),
    )


__all__ = [
    "LOCAL_SHARE",
    "BucketModel",
    "BucketResult",
    "Level",
    "RateLimitResult",
    "RequestLimiter",
    "TokenBuckets",
    "cost_us",
    "local_rate",
]
