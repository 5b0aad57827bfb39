"""Permission to send one call, and the report of its end."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Protocol

from workers.inference import breaker, provider_limits
from workers.inference.breaker import BreakerPolicy
from workers.inference.errors import AnswerGarbled, Billing, InferenceError, RateLimited
from workers.inference.grants import CallEnd, LocalGrant, SharedGrant
from workers.inference.provider_limits import NOTHING
from workers.inference.types import DeltaSink, TokenUsage


class Gates(Protocol):
    """Receiver of an admission's reports."""

    def settle(
        self, held: SharedGrant | LocalGrant, end: CallEnd, *, now: int | None = None
    ) -> None:
        """Record the end of the call."""

    def begun(self, held: SharedGrant | LocalGrant) -> None:
        """Record that the answer has begun."""


class GateAdmission:
    """Permission to send one call. Only the first report of its end counts."""

    def __init__(self, gates: Gates, policy: BreakerPolicy, held: SharedGrant | LocalGrant) -> None:
        self._gates = gates
        self._policy = policy
        self._held = held
        self._lock = threading.Lock()
        self._ended = False

    def sink(self, on_delta: DeltaSink | None) -> DeltaSink | None:
        """Return `on_delta`. For a trial call, the sink also reports the first piece."""
        if not self._held.trial:
            return on_delta
        reported = False

        def report(piece: str) -> None:
            nonlocal reported
            if not reported:
                reported = True
                self._gates.begun(self._held)
            if on_delta is not None:
                on_delta(piece)

        return report

    def give_back(self, *, now: int | None = None) -> None:
        """Report that nothing was sent."""
        self._end(CallEnd(used=NOTHING, user_tokens=0, measured=False, outcome=""), now)

    def succeeded(
        self,
        usage: TokenUsage | None,
        rate_limits: Mapping[str, str],
        latency_ms: int,
        *,
        now: int | None = None,
    ) -> None:
        """Report a complete answer, and give back the unused part of the reservation."""
        used = self._held.request.amounts if usage is None else provider_limits.used_by(usage)
        outcome = breaker.outcome_of_success(self._policy, latency_ms)
        self._end(
            CallEnd(
                used=used,
                user_tokens=used.tokens,
                measured=usage is not None,
                outcome=outcome,
                rate_limits=rate_limits,
            ),
            now,
        )

    def failed(self, error: BaseException, *, now: int | None = None) -> None:
        """Report that no usable answer was received.

        If the provider did no work, everything is given back. If it may have worked, the bound
        stays taken, for at most a minute. If the provider failed, the user's tokens are given back.
        """
        bound = self._held.request.amounts
        used, measured, user_tokens = bound, False, bound.tokens
        if isinstance(error, InferenceError):
            if error.billing is Billing.KNOWN and error.usage is not None:
                used, measured = provider_limits.used_by(error.usage), True
                user_tokens = used.tokens
            elif error.billing is Billing.NONE:
                used, user_tokens = NOTHING, 0
            elif error.provider_failure or isinstance(error, AnswerGarbled):
                user_tokens = 0
        refused = isinstance(error, RateLimited)
        self._end(
            CallEnd(
                used=used,
                user_tokens=user_tokens,
                measured=measured,
                outcome=breaker.outcome_of_failure(self._policy, error),
                rate_limits=error.rate_limits if isinstance(error, InferenceError) else {},
                refused=refused,
                block_s=error.retry_after_s or 0.0 if isinstance(error, RateLimited) else 0.0,
            ),
            now,
        )

    def _end(self, end: CallEnd, now: int | None) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        self._gates.settle(self._held, end, now=now)


class ProbeAdmission(GateAdmission):
    """Permission to send one probe, a tiny call that no limit counts."""

    def succeeded(
        self,
        usage: TokenUsage | None,  # noqa: ARG002 - part of the interface
        rate_limits: Mapping[str, str],
        latency_ms: int,  # noqa: ARG002 - a probe has its own deadline
        *,
        now: int | None = None,
    ) -> None:
        """Report a complete answer."""
        self._end(_end_of_probe("0", rate_limits), now)

    def failed(self, error: BaseException, *, now: int | None = None) -> None:
        """Report that no usable answer was received. A rate limit delays the next probe."""
        rate_limits = error.rate_limits if isinstance(error, InferenceError) else {}
        block_s = 0.0
        if isinstance(error, RateLimited):
            block_s = max(error.retry_after_s or 0.0, self._policy.recheck_s)
        outcome = breaker.outcome_of_probe(error)
        self._end(_end_of_probe(outcome, rate_limits, block_s=block_s), now)


def _end_of_probe(outcome: str, rate_limits: Mapping[str, str], *, block_s: float = 0.0) -> CallEnd:
    return CallEnd(
        used=NOTHING,
        user_tokens=0,
        measured=False,
        outcome=outcome,
        rate_limits=rate_limits,
        refused=block_s > 0,
        block_s=block_s,
    )
