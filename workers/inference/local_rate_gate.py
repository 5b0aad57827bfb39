"""Rate gate of one process while Redis is unavailable: a tenth of each rate, its own breakers.

It applies the provider's limits that the process has received. A call that was admitted here is
settled here, even if Redis is available again.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from workers.inference import breaker, breaker_trips, provider_limits
from workers.inference.breaker import BreakerModel, BreakerPolicy, BreakerView, Change, Forced
from workers.inference.breaker_trips import BreakerTrips
from workers.inference.errors import Deferred, Reason
from workers.inference.grants import AdmissionRequest, CallEnd, LocalGrant
from workers.inference.provider_limits import NOTHING
from workers.inference.token_bucket import LONGEST, MINUTE, SECOND, BucketModel, local_rate

if TYPE_CHECKING:
    from workers.inference.provider_limits import Amounts


class LocalRateGate:
    """The rate gate of this process. Thread-safe. It defers calls by at most `farthest_us`."""

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        farthest_us: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._farthest = farthest_us
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets = BucketModel()
        self._breakers: dict[str, BreakerModel] = {}
        self._trips = BreakerTrips()
        self._limits: dict[str, tuple[int, ...]] = {}
        self._lower: dict[str, frozenset[int]] = {}
        """By model: limits that the last answer lowered and no second answer has confirmed."""
        self._blocked: dict[str, int] = {}

    def admit(self, request: AdmissionRequest) -> tuple[LocalGrant, Change | None]:
        """Admit a call, or raise `Deferred`. Return its grant and the breaker's change, if any.

        If the grant's `way` is `probe`, only a probe may be sent.
        """
        with self._lock:
            now = self._now()
            costs = self._costs(request)
            own = self._breaker(request.model) if request.use_breaker else None
            way = own.way(now=now, fallback=request.fallback) if own else "call"
            if request.held_open:
                way = "wait"
            if own is not None and way == "wait":
                raise self._paused(request, self._look(own, request, now).wait)
            blocked = self._blocked.get(request.model, now) - now
            if blocked > 0:
                raise _deferred("provider_limit", blocked, request.model)
            if own is not None and way == "probe":
                probed = replace(request, amounts=NOTHING, user=None, user_cost=0)
                look = self._look(own, request, now)
                return LocalGrant(probed, look, ()), look.change
            taken = self._buckets.take(costs, now=now)
            if not taken.allowed:
                waits = [min(level.wait, self._farthest) for level in taken.levels]
                if request.user is not None and waits[0]:
                    raise _deferred("user_tokens", waits[0], request.user.key)
                raise _deferred("provider_limit", max(waits), request.model)
            # The breaker last: a call that is not admitted cannot give its trial back.
            taking = self._look(own, request, now) if own else None
            return LocalGrant(request, taking, tuple(costs)), taking.change if taking else None

    def begun(self, held: LocalGrant) -> None:
        with self._lock:
            self._breaker(held.request.model).begun(held.request.lease)

    @property
    def outage(self) -> bool:
        with self._lock:
            return self._trips.outage

    def failing(self) -> tuple[str, ...]:
        """Return the models of an outage. Empty without an outage."""
        with self._lock:
            return breaker_trips.failing(breaker_trips.fields_of(self._trips))

    def settle(self, held: LocalGrant, end: CallEnd) -> Change | None:
        """Record the end of a call. Return the breaker's change, if any."""
        with self._lock:
            now = self._now()
            used = {"user": (held.request.amounts.tokens, end.user_tokens)}
            for name in provider_limits.NAMES:
                field = name.replace("-", "_")
                used[name] = (getattr(held.request.amounts, field), getattr(end.used, field))
            refunds = []
            for key, cost in held.costs:
                back = provider_limits.given_back(cost, *used[key.rsplit(":", 1)[-1]])
                refunds.append((key, -max(back, 0)))
            self._buckets.take(refunds, now=now)
            if held.decision is None:
                return None
            return self._breaker(held.request.model).record(
                held.request.lease, held.decision.since, end.outcome, now=now
            )

    def learn(
        self, model: str, headers: tuple[provider_limits.LimitHeader | None, ...], *, block_us: int
    ) -> None:
        """Store the limits from the provider's headers, for a time without Redis."""
        if block_us:
            with self._lock:
                self._blocked[model] = max(self._now() + block_us, self._blocked.get(model, 0))
        known, lower = self._limits.get(model, (0, 0, 0)), self._lower.get(model, frozenset())
        limits, doubted = list(known), set(lower)
        for row, (header, before) in enumerate(zip(headers, known, strict=True)):
            if header is None:
                continue
            # A lower limit applies once a second answer also has a lower one.
            if header.limit < before and row not in lower:
                doubted.add(row)
            else:
                limits[row] = header.limit
                doubted.discard(row)
        if tuple(limits) != known or doubted != lower:
            with self._lock:
                self._limits[model], self._lower[model] = tuple(limits), frozenset(doubted)

    def view(self, model: str, *, forced: Forced) -> BreakerView:
        with self._lock:
            fields = breaker.fields_of(self._breaker(model))
            return breaker.view(model, fields, forced=forced, now=self._now(), shared=False)

    def _costs(self, request: AdmissionRequest) -> list[tuple[str, int]]:
        costs: list[tuple[str, int]] = []
        if request.user is not None:
            rate = local_rate(request.user.per_minute)
            # Each rate has its own bucket, so a debt at the old rate does not count.
            costs.append(
                (
                    f"{request.user.key}@{request.user.per_minute}:user",
                    _cost(request.amounts.tokens, rate),
                )
            )
        for name, limit in zip(
            provider_limits.NAMES, self._limits.get(request.model, (0, 0, 0)), strict=True
        ):
            if limit:
                amount = _amount(request.amounts, name)
                costs.append((f"{request.model}:{name}", _cost(amount, local_rate(limit))))
        return costs

    def _look(
        self, own: BreakerModel, request: AdmissionRequest, now: int
    ) -> breaker.BreakerDecision:
        return own.admit(
            request.lease,
            now=now,
            farthest=self._farthest,
            fallback=request.fallback,
            held_open=request.held_open,
        )

    def _paused(self, request: AdmissionRequest, wait_us: int) -> Deferred:
        wait_s, outage = wait_us / SECOND, self._trips.outage and not request.held_open
        return Deferred(reason="breaker", wait_s=wait_s, scope=request.model, outage=outage)

    def _breaker(self, model: str) -> BreakerModel:
        made = BreakerModel(self._policy, model, self._trips)
        return self._breakers.setdefault(model, made)

    def _now(self) -> int:
        return int(self._clock() * SECOND)


def _amount(amounts: Amounts, name: str) -> int:
    amount: int = getattr(amounts, name.replace("-", "_"))
    return amount


def _cost(amount: int, rate: Fraction) -> int:
    return min(math.ceil(amount * MINUTE / rate), LONGEST)


def _deferred(reason: Reason, wait_us: int, scope: str) -> Deferred:
    return Deferred(reason=reason, wait_s=wait_us / SECOND, scope=scope)
