"""Can we? The one door to the provider: admission, the call, its price."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

from workers.inference import catalog, modifiers, pricing
from workers.inference.client import RawAnswer, schema_bytes
from workers.inference.errors import Billing, InferenceError
from workers.inference.grants import OpenAdmission, UserTokens
from workers.inference.rate_gate import RateGate
from workers.inference.types import (
    Admission,
    Cancel,
    DeltaSink,
    InferenceRequest,
    InferenceResult,
    TokenUsage,
)

logger = logging.getLogger(__name__)


def _wall_clock() -> datetime:
    return datetime.now(UTC)


class Client(Protocol):
    """What the gateway needs of `AnthropicClient`."""

    def complete(
        self, request: InferenceRequest, *, cancel: Cancel, on_delta: DeltaSink | None = None
    ) -> RawAnswer: ...

    def close(self) -> None: ...


class Gateway:
    """Makes provider calls; one per process, safe for any number of threads."""

    def __init__(
        self,
        client: Client,
        *,
        gate: RateGate | None = None,
        clock: Callable[[], datetime] = _wall_clock,
    ) -> None:
        """Prepare.

        Args:
            client: Makes the calls.
            gate: Without one every call is let in.
            clock: The moment whose prices count.
        """
        self._client = client
        self._gate = gate
        self._clock = clock

    def admit(
        self,
        request: InferenceRequest,
        *,
        user: UserTokens | None,
        booked: bool,
        fallback: bool = False,
    ) -> Admission:
        """Ask whether a call may be sent now: breaker, the user's tokens, the provider's limits.

        Args:
            request: The call, as it would be sent.
            user: Whose tokens it takes; None for calls of nobody.
            booked: It was deferred before and comes back at its time.
            fallback: The breaker of the model before it in the route is open.

        Returns:
            What to give to `infer`, or to give back if the call is not sent after all.

        Raises:
            Deferred: Not now; it says when.
            NotPriced: The model is not in the catalog.
            RequestRejected: Its output schema cannot be expressed for the provider.
        """
        if self._gate is None:
            return OpenAdmission()
        bound = pricing.prompt_bound_tokens(request, schema_bytes=schema_bytes(request))
        return self._gate.admit(
            model=request.model,
            input_tokens=bound,
            output_tokens=request.max_tokens,
            user=user,
            booked=booked,
            fallback=fallback,
        )

    def infer(
        self,
        request: InferenceRequest,
        *,
        cancel: Cancel,
        on_delta: DeltaSink | None = None,
        permit: Admission | None = None,
    ) -> InferenceResult:
        """Make one call and wait for its answer. It is never retried here.

        `cancel` ends it from any thread within a fifth of a second. `on_delta` gets each piece of
        text in this thread, when the request streams; what it raises ends the call and is raised.
        `permit` is told how it ended, whatever happens.

        Raises:
            InferenceError: What went wrong; its class is the verdict, its `billing` the bill.
        """
        permit = permit or OpenAdmission()
        at = self._clock()
        try:
            pricing.price_list(request.model, at=at)  # refuses what has no price
            sink = permit.sink(on_delta)
            answer = self._client.complete(request, cancel=cancel, on_delta=sink)
        except InferenceError as error:
            self._price(request, error, at)
            permit.failed(error)
            raise
        except BaseException as error:
            permit.failed(error)
            raise
        permit.succeeded(answer.usage, answer.rate_limits, answer.latency_ms)
        cost_micro = (
            self.upper_bound_micro(request)
            if answer.usage is None
            else self._cost_micro(request, answer.usage, at)
        )
        return InferenceResult(
            text=answer.text,
            stop_reason=answer.stop_reason,
            model=answer.model,
            usage=answer.usage or TokenUsage(),
            cost_micro=cost_micro,
            request_id=answer.request_id,
            latency_ms=answer.latency_ms,
            ttft_ms=answer.ttft_ms,
            rate_limits=answer.rate_limits,
            usage_problem=answer.usage_problem,
        )

    def upper_bound_micro(self, request: InferenceRequest) -> int:
        """The most this request can cost, in micro-dollars: what to reserve for it.

        Raises:
            NotPriced: The model is not in the catalog, or has no price.
            RequestRejected: Its output schema cannot be expressed for the provider.
        """
        return _bound_micro(request, self._clock())

    def delivered_micro(self, model: str, usage: TokenUsage, text: str) -> int:
        """What the part of an answer that a user has read is worth, in micro-dollars.

        Raises:
            NotPriced: The model is not in the catalog, or has no price.
        """
        return pricing.delivered_micro(model, usage, text)

    def known_models(self) -> tuple[str, ...]:
        """Ids of all models that may be called."""
        return catalog.known_models()

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def _cost_micro(self, request: InferenceRequest, usage: TokenUsage, at: datetime) -> int:
        """Return what the provider bills, in micro-dollars.

        A modifier that no request of ours can cause raises it to the call's bound at most. A cost
        above its bound stops the feature, and no answer may do that by what it reports.
        """
        cost = pricing.cost_micro(request.model, usage, at=at)
        found = modifiers.of(usage)
        if not found.unasked:
            return cost
        logger.warning("call %s: usage reports what no request asks: %s", request.attempt_id, found)
        return min(cost, _bound_micro(request, at))

    def _price(self, request: InferenceRequest, error: InferenceError, at: datetime) -> None:
        """Set what a failed call costs, or the most it costs, from the usage that was reported."""
        if error.usage is None or error.cost_micro is not None:
            return
        if error.billing is Billing.KNOWN:
            error.cost_micro = self._cost_micro(request, error.usage, at)
        elif error.billing is Billing.CEILING:
            ceiling = pricing.ceiling_micro(request, error.usage, at=at)
            if ceiling is None:
                error.billing = Billing.UNSEEN
            else:
                error.cost_micro = min(ceiling, _bound_micro(request, at))


def _bound_micro(request: InferenceRequest, at: datetime) -> int:
    return pricing.upper_bound_micro(request, schema_bytes=schema_bytes(request), at=at)
