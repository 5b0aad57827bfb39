"""The gates of one process while Redis is away: a tenth of each rate, a breaker of its own.

Nobody is let through without a limit: what the process has seen of the provider's limits holds
here too. What was let in here ends here, also if Redis is back by then.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

from workers.inference import breaker, provider_limits
from workers.inference.admission import Asked, End, HeldHere
from workers.inference.breaker import BreakerModel, BreakerPolicy, BreakerView, Change, Forced
from workers.inference.errors import Deferred, Reason
from workers.inference.token_bucket import LONGEST, MINUTE, SECOND, BucketModel, local_rate

if TYPE_CHECKING:
    from workers.inference.provider_limits import Amounts


class LocalGates:
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
        self._limits: dict[str, tuple[int, ...]] = {}
        self._blocked: dict[str, int] = {}

    def admit(self, asked: Asked) -> tuple[HeldHere, Change | None]:
        """Let a call in. Returns what it holds and the change it made to the breaker.

        Raises:
            Deferred: It may not be sent now.
        """
        with self._lock:
            now = self._now()
            costs = self._costs(asked)
            # The breaker last: its probe cannot be given back by one that is not let in.
            look = self._look(asked, now, takes=False)
            if look is not None and look.wait:
                raise _deferred("breaker", look.wait, asked.model)
            blocked = self._blocked.get(asked.model, now) - now
            if blocked > 0:
                raise _deferred("provider_limit", blocked, asked.model)
            taken = self._buckets.take(costs, now=now)
            if not taken.allowed:
                waits = [min(level.wait, self._farthest) for level in taken.levels]
                if asked.user is not None and waits[0]:
                    raise _deferred("user_tokens", waits[0], asked.user.key)
                raise _deferred("provider_limit", max(waits), asked.model)
            look = self._look(asked, now, takes=True)
            return HeldHere(asked, look, tuple(costs)), look.change if look else None

    def settle(self, held: HeldHere, end: End) -> Change | None:
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
        self, model: str, headers: tuple[provider_limits.Told | None, ...], *, block_us: int
    ) -> None:
        """Remember what the provider said of its limits, for a time without Redis."""
        if block_us:
            with self._lock:
                self._blocked[model] = max(self._now() + block_us, self._blocked.get(model, 0))
        known = self._limits.get(model, (0, 0, 0))
        limits = tuple(
            told.limit if told else before for told, before in zip(headers, known, strict=True)
        )
        if limits != known:
            with self._lock:
                self._limits[model] = limits

    def view(self, model: str, *, forced: Forced) -> BreakerView:
        """The breaker of this process."""
        with self._lock:
            fields = breaker.fields_of(self._breaker(model))
            return breaker.view(model, fields, forced=forced, now=self._now(), shared=False)

    def _costs(self, asked: Asked) -> list[tuple[str, int]]:
        costs: list[tuple[str, int]] = []
        if asked.user is not None:
            rate = local_rate(asked.user.per_minute)
            costs.append((f"{asked.user.key}:user", _cost(asked.amounts.tokens, rate)))
        for name, limit in zip(
            provider_limits.NAMES, self._limits.get(asked.model, (0, 0, 0)), strict=True
        ):
            if limit:
                amount = _amount(asked.amounts, name)
                costs.append((f"{asked.model}:{name}", _cost(amount, local_rate(limit))))
        return costs

    def _look(self, asked: Asked, now: int, *, takes: bool) -> breaker.Look | None:
        if not asked.use_breaker:
            return None
        own = self._breaker(asked.model)
        if takes or not own.would_admit(now=now):
            return own.admit(asked.lease, now=now, farthest=self._farthest)
        return None

    def _breaker(self, model: str) -> BreakerModel:
        return self._breakers.setdefault(model, BreakerModel(self._policy))

    def _now(self) -> int:
        return int(self._clock() * SECOND)


def _amount(amounts: Amounts, name: str) -> int:
    amount: int = getattr(amounts, name.replace("-", "_"))
    return amount


def _cost(amount: int, rate: Fraction) -> int:
    return min(math.ceil(amount * MINUTE / rate), LONGEST)


def _deferred(reason: Reason, wait_us: int, scope: str) -> Deferred:
    return Deferred(reason=reason, wait_s=wait_us / SECOND, scope=scope)
