"""The gates of one process while Redis is away: a tenth of each rate, a breaker of its own.

Nobody is let through without a limit: what the process has seen of the provider's limits holds
here too. What was let in here ends here, also if Redis is back by then.
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
    """Safe for any number of threads."""

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        farthest_us: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            policy: Of its breakers.
            farthest_us: The longest that anybody is told to wait.
            clock: Seconds that never go back.
        """
        self._policy = policy
        self._farthest = farthest_us
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets = BucketModel()
        self._breakers: dict[str, BreakerModel] = {}
        self._trips = BreakerTrips()
        self._limits: dict[str, tuple[int, ...]] = {}
        self._lower: dict[str, frozenset[int]] = {}
        """Which limits of a model the last answer that named them wanted lower."""
        self._blocked: dict[str, int] = {}

    def admit(self, asked: AdmissionRequest) -> tuple[LocalGrant, Change | None]:
        """Let a call in. Returns what it holds and the change it made to the breaker.

        If the `way` it holds is `probe`, only a probe may be sent.

        Raises:
            Deferred: It may not be sent now.
        """
        with self._lock:
            now = self._now()
            costs = self._costs(asked)
            own = self._breaker(asked.model) if asked.use_breaker else None
            way = own.way(now=now, fallback=asked.fallback) if own else "call"
            if asked.held_open:
                way = "wait"
            if own is not None and way == "wait":
                raise self._paused(asked, self._look(own, asked, now).wait)
            blocked = self._blocked.get(asked.model, now) - now
            if blocked > 0:
                raise _deferred("provider_limit", blocked, asked.model)
            if own is not None and way == "probe":
                probed = replace(asked, amounts=NOTHING, user=None, user_cost=0)
                look = self._look(own, asked, now)
                return LocalGrant(probed, look, ()), look.change
            taken = self._buckets.take(costs, now=now)
            if not taken.allowed:
                waits = [min(level.wait, self._farthest) for level in taken.levels]
                if asked.user is not None and waits[0]:
                    raise _deferred("user_tokens", waits[0], asked.user.key)
                raise _deferred("provider_limit", max(waits), asked.model)
            # The breaker last: a trial cannot be given back by one that is not let in.
            taking = self._look(own, asked, now) if own else None
            return LocalGrant(asked, taking, tuple(costs)), taking.change if taking else None

    def begun(self, held: LocalGrant) -> None:
        """The answer of a trial call that was let in here has begun."""
        with self._lock:
            self._breaker(held.asked.model).begun(held.asked.lease)

    @property
    def outage(self) -> bool:
        """Whether more than one model fails."""
        with self._lock:
            return self._trips.outage

    def failing(self) -> tuple[str, ...]:
        """The models of an outage; none while there is no outage."""
        with self._lock:
            return breaker_trips.failing(breaker_trips.fields_of(self._trips))

    def settle(self, held: LocalGrant, end: CallEnd) -> Change | None:
        """A call that was let in here ended. Returns the change it made to the breaker."""
        with self._lock:
            now = self._now()
            used = {"user": (held.asked.amounts.tokens, end.user_tokens)}
            for name in provider_limits.NAMES:
                field = name.replace("-", "_")
                used[name] = (getattr(held.asked.amounts, field), getattr(end.used, field))
            refunds = []
            for key, cost in held.costs:
                back = provider_limits.given_back(cost, *used[key.rsplit(":", 1)[-1]])
                refunds.append((key, -max(back, 0)))
            self._buckets.take(refunds, now=now)
            if held.look is None:
                return None
            return self._breaker(held.asked.model).record(
                held.asked.lease, held.look.since, end.outcome, now=now
            )

    def learn(
        self, model: str, headers: tuple[provider_limits.LimitHeader | None, ...], *, block_us: int
    ) -> None:
        """Remember what the provider said of its limits, for a time without Redis."""
        if block_us:
            with self._lock:
                self._blocked[model] = max(self._now() + block_us, self._blocked.get(model, 0))
        known, lower = self._limits.get(model, (0, 0, 0)), self._lower.get(model, frozenset())
        limits, doubted = list(known), set(lower)
        for row, (told, before) in enumerate(zip(headers, known, strict=True)):
            if told is None:
                continue
            # A lower limit is believed once a second answer names one.
            if told.limit < before and row not in lower:
                doubted.add(row)
            else:
                limits[row] = told.limit
                doubted.discard(row)
        if tuple(limits) != known or doubted != lower:
            with self._lock:
                self._limits[model], self._lower[model] = tuple(limits), frozenset(doubted)

    def view(self, model: str, *, forced: Forced) -> BreakerView:
        """The breaker of this process."""
        with self._lock:
            fields = breaker.fields_of(self._breaker(model))
            return breaker.view(model, fields, forced=forced, now=self._now(), shared=False)

    def _costs(self, asked: AdmissionRequest) -> list[tuple[str, int]]:
        costs: list[tuple[str, int]] = []
        if asked.user is not None:
            rate = local_rate(asked.user.per_minute)
            # At another rate a bucket of its own: what was taken at the old one is no debt here.
            costs.append(
                (
                    f"{asked.user.key}@{asked.user.per_minute}:user",
                    _cost(asked.amounts.tokens, rate),
                )
            )
        for name, limit in zip(
            provider_limits.NAMES, self._limits.get(asked.model, (0, 0, 0)), strict=True
        ):
            if limit:
                amount = _amount(asked.amounts, name)
                costs.append((f"{asked.model}:{name}", _cost(amount, local_rate(limit))))
        return costs

    def _look(
        self, own: BreakerModel, asked: AdmissionRequest, now: int
    ) -> breaker.BreakerDecision:
        return own.admit(
            asked.lease,
            now=now,
            farthest=self._farthest,
            fallback=asked.fallback,
            held_open=asked.held_open,
        )

    def _paused(self, asked: AdmissionRequest, wait_us: int) -> Deferred:
        wait_s, outage = wait_us / SECOND, self._trips.outage and not asked.held_open
        return Deferred(reason="breaker", wait_s=wait_s, scope=asked.model, outage=outage)

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
