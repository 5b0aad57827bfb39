"""May this call be sent now? The breaker, the user's tokens and the provider's limits, in one step.

One round trip to Redis lets a call in and one ends it, whatever number of gates it passes. All or
nothing: what one gate refuses has taken nothing from the others. Refused calls are told when to
come back, each another moment, so that they do not all come at once.
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
"""Longest wait a call is told: what was booked and never came blocks nobody for ever."""

LONGEST_BLOCK_US: Final = 20 * SECOND
"""Longest that one answer keeps the calls of others away, whatever it asks for. The job that got it
waits as long as it was asked to; the next call finds out whether it still holds."""

LEAST_APART_US: Final = 1_000
"""Between two bookings, where the call's cost is unknown or next to nothing."""

_ADMIT: Final = Script("bucket", "limits", "breaker", "admit")
_SETTLE: Final = Script("bucket", "limits", "breaker", "settle")
_BEGUN: Final = Script("begun")

_TRIPS: Final = "aif:trips"
"""The hash of what all breakers know together."""


def _not_forced(_model: str) -> Forced:
    return ""


class RateGate:
    """The gates of all models of one provider; one per process, safe for any number of threads."""

    def __init__(
        self,
        state: SharedState,
        *,
        policy: BreakerPolicy | None = None,
        forced: Callable[[str], Forced] = _not_forced,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            state: What all processes share.
            policy: Of the breakers.
            forced: What a person has decided for a model's breaker: asked before each call.
            clock: Seconds that never go back, for the gates of this process.
        """
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
        """Let one call in, at the bounds of its tokens.

        Args:
            model: The provider's id.
            input_tokens: The most its prompt can have.
            output_tokens: The most it can write.
            user: Whose tokens it takes; None for calls of nobody.
            booked: It was deferred before and comes back at its time.
            fallback: The breaker of the model before it in the route is open.
            now: Microseconds since the epoch instead of the clock of Redis.

        Raises:
            Deferred: It may not be sent now, or not before the probe that comes with it.
            ValueError: The user's rate is not above zero.
        """
        forced = self._forced(model)
        amounts = Amounts(1, input_tokens, output_tokens)
        asked = AdmissionRequest(
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
            held = self._admit(asked, now)
        except RedisUnavailable:
            held, change = self._local.admit(asked)
            _tell(model, change)
            if held.look is not None and held.look.way == "probe":
                wait_us = held.look.wait
                raise self._probe(held, wait_us, outage=self._local.outage) from None
        return GateAdmission(self, self._policy, held)

    def _admit(self, asked: AdmissionRequest, now: int | None) -> SharedGrant:
        answer = self._state.run(
            _ADMIT,
            _keys(asked),
            _known(
                now=now,
                booked=asked.booked,
                user_cost=asked.user_cost,
                user_rate=None if asked.user is None else rate_millionths(asked.user.per_minute),
                input_tokens=asked.amounts.input_tokens,
                output_tokens=asked.amounts.output_tokens,
                breaker=_use_of_breaker(asked),
                policy=self._policy_arguments,
                lease=asked.lease,
                fallback=asked.fallback,
                model=asked.model,
                farthest=FARTHEST_US,
                least_apart=LEAST_APART_US,
            ),
        )
        reason = answer[0].decode()
        if reason == "probe":
            if answer[3]:
                _tell(asked.model, Change("open", "half_open"))
            probe = SharedGrant(_nothing_of(asked), "", (None, None, None))
            raise self._probe(probe, int(answer[1]), outage=bool(answer[2]))
        if reason:
            raise _deferred(asked, reason, int(answer[1]), outage=bool(answer[2:3] == [1]))
        rest = [int(number) for number in answer[3:]]
        levels = tuple(
            None if cost < 0 else Level(cost, debt)
            for cost, debt in zip(rest[::2], rest[1::2], strict=True)
        )
        return SharedGrant(asked, answer[1].decode(), levels, trial=bool(answer[2]))

    def _probe(self, held: SharedGrant | LocalGrant, wait_us: int, *, outage: bool) -> Deferred:
        return Deferred(
            reason="breaker",
            wait_s=wait_us / SECOND,
            scope=held.asked.model,
            outage=outage,
            probe=ProbeAdmission(self, self._policy, held),
        )

    def begun(self, held: SharedGrant | LocalGrant) -> None:
        """Tell the breaker that the answer of a trial call has begun, best effort."""
        if isinstance(held, LocalGrant):
            self._local.begun(held)
            return
        with suppress(RedisUnavailable):
            self._state.run(_BEGUN, [_breaker_key(held.asked.model)], {"lease": held.asked.lease})

    def settle(
        self, held: SharedGrant | LocalGrant, end: CallEnd, *, now: int | None = None
    ) -> None:
        """Tell the gates how a call ended, best effort: what is lost refills by itself."""
        told = provider_limits.believed(
            provider_limits.read_headers(end.rate_limits),
            held.asked.amounts,
            end.used,
            measured=end.measured,
        )
        block_us = round(min(end.block_s * SECOND, LONGEST_BLOCK_US))
        self._local.learn(held.asked.model, told, block_us=block_us)
        if isinstance(held, LocalGrant):
            _tell(held.asked.model, self._local.settle(held, end))
            return
        try:
            answer = self._state.run(
                _SETTLE, _keys(held.asked), self._end(held, end, told, block_us, now)
            )
        except RedisUnavailable:
            return
        if answer:
            before, after, *counts = answer
            numbers = [int(count) for count in counts]
            _tell(held.asked.model, Change(before.decode(), after.decode(), *numbers))

    def _end(
        self,
        held: SharedGrant,
        end: CallEnd,
        told: tuple[provider_limits.LimitHeader | None, ...],
        block_us: int,
        now: int | None,
    ) -> dict[str, Any]:
        asked = held.asked
        tokens = asked.amounts.tokens
        measured = end.measured
        return _known(
            now=now,
            returned=provider_limits.given_back(asked.user_cost, tokens, end.user_tokens),
            user_share=provider_limits.share(tokens, end.user_tokens) if measured else None,
            block=block_us,
            refused=end.refused,
            limits=[
                _limit(held.levels[row], news, reserved, used, learns=measured and row > 0)
                # A request is a request: there is nothing to learn of its share.
                for row, (news, reserved, used) in enumerate(
                    zip(told, _row(asked.amounts), _row(end.used), strict=True)
                )
            ],
            lease=asked.lease,
            since=held.since,
            outcome=end.outcome if asked.use_breaker else None,
            policy=self._policy_arguments,
            model=asked.model,
        )

    def breaker(self, model: str, *, now: int | None = None) -> BreakerView:
        """A model's breaker as it stands: that of all processes, or ours while Redis is away."""
        forced = self._forced(model)
        try:
            fields = self._state.read(_breaker_key(model))
        except RedisUnavailable:
            return self._local.view(model, forced=forced)
        return breaker.view(model, fields, forced=forced, now=_or_wall_clock(now))

    def outage(self) -> tuple[str, ...]:
        """The models that fail while the provider is down; none while it is not.

        That of all processes, or what this one knows while Redis is away.
        """
        try:
            return breaker_trips.failing(self._state.read(_TRIPS))
        except RedisUnavailable:
            return self._local.failing()

    def limits(self, model: str, *, now: int | None = None) -> LimitsView | None:
        """What is known of the provider's limits of a model; None while Redis is away."""
        try:
            fields = self._state.read(_limits_key(model))
        except RedisUnavailable:
            return None
        return provider_limits.view(model, fields, now=_or_wall_clock(now))


def _keys(asked: AdmissionRequest) -> list[str]:
    user = "" if asked.user is None else asked.user.key
    return [
        f"aif:tokens:{user}",
        f"aif:booked:{user}",
        _limits_key(asked.model),
        _breaker_key(asked.model),
        _TRIPS,
        f"aif:rate:{user}",
    ]


def _known(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


def _use_of_breaker(asked: AdmissionRequest) -> str:
    if asked.held_open:
        return "held_open"
    return "ask" if asked.use_breaker else "skip"


def _limit(
    level: Level | None,
    news: provider_limits.LimitHeader | None,
    reserved: int,
    used: int,
    *,
    learns: bool,
) -> dict[str, Any]:
    return _known(
        limit=news.limit if news else None,
        remaining=news.remaining if news else None,
        back=provider_limits.given_back(level.wait, reserved, used) if level else 0,
        debt=level.debt if level else None,
        share=provider_limits.share(reserved, used) if learns else None,
    )


def _nothing_of(asked: AdmissionRequest) -> AdmissionRequest:
    """The same for its probe, which takes nothing of any limit."""
    return replace(asked, amounts=NOTHING, user=None, user_cost=0)


def _limits_key(model: str) -> str:
    return f"aif:limits:{model}"


def _breaker_key(model: str) -> str:
    return f"aif:breaker:{model}"


def _row(amounts: Amounts) -> tuple[int, int, int]:
    return amounts.requests, amounts.input_tokens, amounts.output_tokens


def _deferred(asked: AdmissionRequest, reason: str, wait_us: int, *, outage: bool) -> Deferred:
    wait_s = wait_us / SECOND
    if reason == "breaker":
        return Deferred(reason="breaker", wait_s=wait_s, scope=asked.model, outage=outage)
    if reason == "user_tokens" and asked.user is not None:
        return Deferred(reason="user_tokens", wait_s=wait_s, scope=asked.user.key)
    return Deferred(reason="provider_limit", wait_s=wait_s, scope=asked.model)


def _tell(model: str, change: Change | None) -> None:
    """Once, by the process whose call changed it. Each probe of a long outage is no news."""
    if change is None:
        return
    news = "closed" in {change.before, change.after}
    logger.log(
        logging.WARNING if news else logging.INFO,
        "breaker of %s: %s -> %s (%d calls: %d failed, %d slow)",
        *(model, change.before, change.after, change.calls, change.failed, change.slow),
    )


def _or_wall_clock(now: int | None) -> int:
    return round(time.time() * SECOND) if now is None else now
