"""Rate gate for provider calls: breaker, user's tokens and provider's limits, in one step.

One round trip to Redis admits a call and one settles it. Admission is all or nothing: a refused
call takes nothing from any bucket. Each deferred call gets its own retry time, so that they do not
all retry at the same time.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from workers.inference import breaker, breaker_trips, provider_limits
from workers.inference.admission import GateAdmission, ProbeAdmission
from workers.inference.breaker import BreakerPolicy, BreakerView, Change, Forced
from workers.inference.errors import Deferred
from workers.inference.grants import AdmissionRequest, CallEnd, LocalGrant, SharedGrant, UserTokens
from workers.inference.local_rate_gate import LocalRateGate
from workers.inference.provider_limits import NOTHING, Amounts, LimitsView
from workers.inference.shared_state import RedisUnavailable, Script, SharedState
from workers.inference.token_bucket import SECOND, Level, cost_us, rate_millionths

logger = logging.getLogger(__name__)

FARTHEST_US: Final = 600 * SECOND
"""Longest wait of a deferred call. It limits the effect of bookings whose call never retries."""

LONGEST_BLOCK_US: Final = 20 * SECOND
"""Longest time that one answer's retry-after blocks other calls. The job that received it waits in
full; the next call finds out whether the limit still applies."""

LEAST_APART_US: Final = 1_000
"""Least time between two bookings, for calls whose cost is unknown or almost zero."""

_ADMIT: Final = Script("bucket", "limits", "breaker", "admit")
_SETTLE: Final = Script("bucket", "limits", "breaker", "settle")
_BEGUN: Final = Script("begun")

_TRIPS: Final = "aif:trips"
"""Key of the hash that all breakers share."""


def _not_forced(_model: str) -> Forced:
    return ""


class RateGate:
    """The rate gate of all models of one provider. Create one per process; thread-safe.

    Before each call, `forced` returns the state that an operator forces on a model's breaker.
    """

    def __init__(
        self,
        state: SharedState,
        *,
        policy: BreakerPolicy | None = None,
        forced: Callable[[str], Forced] = _not_forced,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._policy = policy or BreakerPolicy()
        self._policy_arguments = self._policy.arguments()
        self._forced = forced
        self._local = LocalRateGate(self._policy, farthest_us=FARTHEST_US, clock=clock)

    def admit(
        self,
        *,
        model: str,
        input_tokens: int,
        output_tokens: int,
        user: UserTokens | None = None,
        booked: bool = False,
        fallback: bool = False,
        now: int | None = None,
    ) -> GateAdmission:
        """Admit one call and reserve the bounds of its tokens.

        Args:
            model: The provider's id of the model.
            input_tokens: Most tokens of its prompt.
            output_tokens: Most tokens of its answer.
            user: The user's bucket. None: no user.
            booked: The call was deferred before and retries at its booked time.
            fallback: The breaker of the previous model in the route is open.
            now: Microseconds since the epoch. None: the clock of Redis.

        Raises:
            Deferred: The call may not be sent now, or not before the attached probe.
            ValueError: The user's rate is not above zero.
        """
        forced = self._forced(model)
        amounts = Amounts(1, input_tokens, output_tokens)
        request = AdmissionRequest(
            model=model,
            amounts=amounts,
            user=user,
            user_cost=0 if user is None else max(cost_us(amounts.tokens, user.per_minute), 1),
            booked=booked,
            use_breaker=forced != "closed",
            lease=secrets.token_hex(6),
            fallback=fallback,
            held_open=forced == "open",
        )
        held: SharedGrant | LocalGrant
        try:
            held = self._admit(request, now)
        except RedisUnavailable:
            held, change = self._local.admit(request)
            _log_change(model, change)
            if held.decision is not None and held.decision.way == "probe":
                wait_us = held.decision.wait
                raise self._probe(held, wait_us, outage=self._local.outage) from None
        return GateAdmission(self, self._policy, held)

    def _admit(self, request: AdmissionRequest, now: int | None) -> SharedGrant:
        answer = self._state.run(
            _ADMIT,
            _keys(request),
            _known(
                now=now,
                booked=request.booked,
                user_cost=request.user_cost,
                user_rate=rate_millionths(request.user.per_minute) if request.user else None,
                input_tokens=request.amounts.input_tokens,
                output_tokens=request.amounts.output_tokens,
                breaker=_use_of_breaker(request),
                policy=self._policy_arguments,
                lease=request.lease,
                fallback=request.fallback,
                model=request.model,
                farthest=FARTHEST_US,
                least_apart=LEAST_APART_US,
            ),
        )
        reason = answer[0].decode()
        if reason == "probe":
            if answer[3]:
                _log_change(request.model, Change("open", "half_open"))
            probe = SharedGrant(_nothing_of(request), "", (None, None, None))
            raise self._probe(probe, int(answer[1]), outage=bool(answer[2]))
        if reason:
            raise _deferred(request, reason, int(answer[1]), outage=bool(answer[2:3] == [1]))
        rest = [int(number) for number in answer[3:]]
        levels = tuple(
            None if cost < 0 else Level(cost, debt)
            for cost, debt in zip(rest[::2], rest[1::2], strict=True)
        )
        return SharedGrant(request, answer[1].decode(), levels, trial=bool(answer[2]))

    def _probe(self, held: SharedGrant | LocalGrant, wait_us: int, *, outage: bool) -> Deferred:
        return Deferred(
            reason="breaker",
            wait_s=wait_us / SECOND,
            scope=held.request.model,
            outage=outage,
            probe=ProbeAdmission(self, self._policy, held),
        )

    def begun(self, held: SharedGrant | LocalGrant) -> None:
        """Record that the answer of a trial call has begun, best effort."""
        if isinstance(held, LocalGrant):
            self._local.begun(held)
            return
        with suppress(RedisUnavailable):
            self._state.run(
                _BEGUN, [_breaker_key(held.request.model)], {"lease": held.request.lease}
            )

    def settle(
        self, held: SharedGrant | LocalGrant, end: CallEnd, *, now: int | None = None
    ) -> None:
        """Record the end of a call, best effort: without it the buckets refill over time."""
        headers = provider_limits.plausible(
            provider_limits.read_headers(end.rate_limits),
            held.request.amounts,
            end.used,
            measured=end.measured,
        )
        block_us = round(min(end.block_s * SECOND, LONGEST_BLOCK_US))
        self._local.learn(held.request.model, headers, block_us=block_us)
        if isinstance(held, LocalGrant):
            _log_change(held.request.model, self._local.settle(held, end))
            return
        try:
            answer = self._state.run(
                _SETTLE, _keys(held.request), self._end(held, end, headers, block_us, now)
            )
        except RedisUnavailable:
            return
        if answer:
            before, after, *counts = answer
            numbers = [int(count) for count in counts]
            _log_change(held.request.model, Change(before.decode(), after.decode(), *numbers))

    def _end(
        self,
        held: SharedGrant,
        end: CallEnd,
        headers: tuple[provider_limits.LimitHeader | None, ...],
        block_us: int,
        now: int | None,
    ) -> dict[str, Any]:
        request = held.request
        tokens = request.amounts.tokens
        measured = end.measured
        return _known(
            now=now,
            returned=provider_limits.given_back(request.user_cost, tokens, end.user_tokens),
            user_share=provider_limits.share(tokens, end.user_tokens) if measured else None,
            block=block_us,
            refused=end.refused,
            limits=[
                _limit(held.levels[row], header, reserved, used, learns=measured and row > 0)
                # Row 0 is requests: each call uses exactly one, so its share is not learned.
                for row, (header, reserved, used) in enumerate(
                    zip(headers, _row(request.amounts), _row(end.used), strict=True)
                )
            ],
            lease=request.lease,
            since=held.since,
            outcome=end.outcome if request.use_breaker else None,
            policy=self._policy_arguments,
            model=request.model,
        )

    def breaker(self, model: str, *, now: int | None = None) -> BreakerView:
        """Return a model's breaker: the shared one, or ours while Redis is unavailable."""
        forced = self._forced(model)
        try:
            fields = self._state.read(_breaker_key(model))
        except RedisUnavailable:
            return self._local.view(model, forced=forced)
        return breaker.view(model, fields, forced=forced, now=_or_wall_clock(now))

    def outage(self) -> tuple[str, ...]:
        """Return the failing models of an outage. Without Redis, by this process's own state."""
        try:
            return breaker_trips.failing(self._state.read(_TRIPS))
        except RedisUnavailable:
            return self._local.failing()

    def limits(self, model: str, *, now: int | None = None) -> LimitsView | None:
        """Return the known limits of a model. None while Redis is unavailable."""
        try:
            fields = self._state.read(_limits_key(model))
        except RedisUnavailable:
            return None
        return provider_limits.view(model, fields, now=_or_wall_clock(now))


def _keys(request: AdmissionRequest) -> list[str]:
    user = "" if request.user is None else request.user.key
    return [
        f"aif:tokens:{user}",
        f"aif:booked:{user}",
        _limits_key(request.model),
        _breaker_key(request.model),
        _TRIPS,
        f"aif:rate:{user}",
    ]


def _known(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def _use_of_breaker(request: AdmissionRequest) -> str:
    if request.held_open:
        return "held_open"
    return "ask" if request.use_breaker else "skip"


def _limit(
    level: Level | None,
    header: provider_limits.LimitHeader | None,
    reserved: int,
    used: int,
    *,
    learns: bool,
) -> dict[str, Any]:
    return _known(
        limit=header.limit if header else None,
        remaining=header.remaining if header else None,
        back=provider_limits.given_back(level.wait, reserved, used) if level else 0,
        debt=level.debt if level else None,
        share=provider_limits.share(reserved, used) if learns else None,
    )


def _nothing_of(request: AdmissionRequest) -> AdmissionRequest:
    """Return the request for its probe, which no limit counts."""
    return replace(request, amounts=NOTHING, user=None, user_cost=0)


def _limits_key(model: str) -> str:
    return f"aif:limits:{model}"


def _breaker_key(model: str) -> str:
    return f"aif:breaker:{model}"


def _row(amounts: Amounts) -> tuple[int, int, int]:
    return amounts.requests, amounts.input_tokens, amounts.output_tokens


def _deferred(request: AdmissionRequest, reason: str, wait_us: int, *, outage: bool) -> Deferred:
    wait_s = wait_us / SECOND
    if reason == "breaker":
        return Deferred(reason="breaker", wait_s=wait_s, scope=request.model, outage=outage)
    if reason == "user_tokens" and request.user is not None:
        return Deferred(reason="user_tokens", wait_s=wait_s, scope=request.user.key)
    return Deferred(reason="provider_limit", wait_s=wait_s, scope=request.model)


def _log_change(model: str, change: Change | None) -> None:
    """Log a change once, in the process that caused it. Probes of a long outage are INFO only."""
    if change is None:
        return
    is_main = "closed" in {change.before, change.after}
    logger.log(
        logging.WARNING if is_main else logging.INFO,
        "breaker of %s: %s -> %s (%d calls: %d failed, %d slow)",
        *(model, change.before, change.after, change.calls, change.failed, change.slow),
    )


def _or_wall_clock(now: int | None) -> int:
    return round(time.time() * SECOND) if now is None else now
