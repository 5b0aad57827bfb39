"""Token buckets that all processes share, exact at any concurrency.

The algorithm is GCRA in whole microseconds: a bucket is one number, the time at which it is full
again, and a cost is its refill time. A bucket holds the amount of one minute at its rate. So a rate
may change at any time, and a bucket that is idle for a minute needs no storage. `lua/bucket.lua`
does the same in Redis, with the clock of Redis.
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
"""Capacity of a bucket, in microseconds."""

LONGEST: Final = 24 * 3600 * SECOND
"""Largest cost of one take, in microseconds."""

LOCAL_SHARE: Final = Fraction(1, 10)
"""Share of a rate that each process allows while Redis is unavailable."""

_MANY: Final = 10_000
"""Number of local buckets from which on full ones are removed."""

_TAKE: Final = Script("bucket", "take")


def cost_us(amount: int, per_minute: Decimal | int) -> int:
    """Return the refill time of `amount` at this rate, in microseconds, rounded up."""
    if per_minute <= 0:
        raise ValueError(f"a rate of {per_minute} per minute admits nothing: use one above zero")
    return min(math.ceil(amount * MINUTE / Fraction(per_minute)), LONGEST)


def rate_millionths(per_minute: Decimal | int) -> int:
    """Return a rate in millionths per minute, as stored in Redis. At least 1."""
    return max(round(Fraction(per_minute) * 1_000_000), 1)


def slack_us(cost: int) -> int:
    """Return the most microseconds that a bucket loses by rounding costs up, until it is empty.

    Without it, a rate of 7 per minute would admit a burst of 6. It is less than a cost, so it never
    admits one too many.
    """
    return min(MINUTE // cost, cost - 1) if 0 < cost < MINUTE else 0


def local_rate(per_minute: Decimal | int) -> Fraction:
    """Return one process's rate while Redis is unavailable: a tenth, at least 1, at most all."""
    rate = Fraction(per_minute)
    return min(rate, max(rate * LOCAL_SHARE, Fraction(1)))


@dataclass(frozen=True, slots=True)
class Level:
    """One bucket after a take, in microseconds."""

    wait: int
    """Time until the amount fits; 0 if it did."""

    debt: int
    """Time until the bucket is full."""


@dataclass(frozen=True, slots=True)
class BucketResult:
    """The result of a take from several buckets."""

    allowed: bool
    """True: all amounts were taken. False: none was."""

    levels: tuple[Level, ...]


class BucketModel:
    """The algorithm in Python, for use while Redis is unavailable. Not thread-safe."""

    def __init__(self) -> None:
        self._tats: dict[str, int] = {}
        self._prune_at = _MANY

    def take(self, costs: Sequence[tuple[str, int]], *, now: int) -> BucketResult:
        """Take costs from buckets, all or nothing. A negative cost is given back.

        `costs` are pairs of a bucket and microseconds, each bucket once. `now` is in microseconds.
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
        # A cost above the capacity fits into a full bucket and leaves a debt.
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
    """Buckets in Redis. A take from any number of buckets is one round trip."""

    def __init__(self, state: SharedState) -> None:
        self._state = state

    def take(
        self,
        costs: Sequence[tuple[str, int]],
        *,
        now: int | None = None,
        per_minute: Decimal | int | None = None,
    ) -> BucketResult:
        """Take costs from shared buckets, see `BucketModel.take`. May raise `RedisUnavailable`.

        `now` replaces the clock of Redis. If the rate `per_minute` has risen, debts shrink.
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
    """The result for one request, in the units of `Retry-After` and `RateLimit`."""

    allowed: bool
    limit: int
    """Capacity of the bucket in whole requests, at least 1."""

    remaining: int
    """Whole requests that would be admitted now."""

    retry_after_s: int
    """Fewest whole seconds until the request fits; 0 if it did."""

    reset_s: int
    """Whole seconds until the bucket is full again."""


class RequestLimiter:
    """A limit of requests per minute. It also applies while Redis is unavailable."""

    def __init__(self, state: SharedState, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = TokenBuckets(state)
        self._clock = clock
        self._local = BucketModel()
        self._lock = threading.Lock()

    def take(
        self, key: str, per_minute: Decimal | int, *, amount: int = 1, now: int | None = None
    ) -> RateLimitResult:
        """Admit a request if it fits.

        Args:
            key: Name of the bucket, for example from feature and user.
            per_minute: Rate. It may be a fraction and may change between calls.
            amount: Number of requests; 0 only reads the bucket.
            now: Microseconds since the epoch. None: the clock of Redis.
        """
        bucket, rate = f"aif:requests:{key}", Fraction(per_minute)
        try:
            cost = cost_us(amount, per_minute)
            taken = self._shared.take([(bucket, cost)], now=now, per_minute=per_minute)
        except RedisUnavailable:
            rate = local_rate(per_minute)
            taken = self._take_here(f"{bucket}@{rate}", math.ceil(amount * MINUTE / rate))
        return _result(taken, rate)

    def give_back(self, key: str, per_minute: Decimal | int, *, now: int | None = None) -> None:
        """Undo one take, best effort, for a request that was refused later for other reasons."""
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


def _result(taken: BucketResult, rate: Fraction) -> RateLimitResult:
    (level,) = taken.levels
    each = math.ceil(MINUTE / rate)
    room = max(MINUTE + slack_us(each) - level.debt, 0) // each
    return RateLimitResult(
        allowed=taken.allowed,
        limit=max(math.floor(rate), 1),
        # A full bucket admits one request, however small the bucket is.
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
