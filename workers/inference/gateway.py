"""The only entry to the provider: admission, the call, its price."""

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
    """The part of `AnthropicClient` that the gateway uses."""

    def complete(
        self, request: InferenceRequest, *, cancel: Cancel, on_delta: DeltaSink | None = None
    ) -> RawAnswer: ...

    def close(self) -> None: ...


class Gateway:
    """Provider calls, at the prices of `clock`. Create one per process; thread-safe."""

    def __init__(
        self,
        client: Client,
        *,
        gate: RateGate | None = None,
        clock: Callable[[], datetime] = _wall_clock,
    ) -> None:
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
        """Admit a call, see `RateGate.admit`. Without a gate, every call is admitted.

        Returns:
            The admission. Pass it to `infer`, or give it back if the call is not sent.

        Raises:
            Deferred: The call may not be sent before its `wait_s`.
            NotPriced: The model is not in the catalog.
            RequestRejected: The provider does not support its output schema.
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
        admission: Admission | None = None,
    ) -> InferenceResult:
        """Make one call, without retries, and wait for its answer.

        `cancel` ends it from any thread within 0.2 s. `on_delta` receives each piece of a streamed
        text in this thread; its exceptions end the call and are re-raised. `admission` receives the
        end of the call in every case.

        Raises:
            InferenceError: The call failed. The class states what to do, `billing` what it costs.
        """
        admission = admission or OpenAdmission()
        at = self._clock()
        try:
            pricing.price_list(request.model, at=at)  # raises if the model has no price
            sink = admission.sink(on_delta)
            answer = self._client.complete(request, cancel=cancel, on_delta=sink)
        except InferenceError as error:
            self._price(request, error, at)
            admission.failed(error)
            raise
        except BaseException as error:
            admission.failed(error)
            raise
        admission.succeeded(answer.usage, answer.rate_limits, answer.latency_ms)
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
            cache_saved_micro=(
                pricing.cache_saved_micro(request.model, answer.usage, at=at) if answer.usage else 0
            ),
            usage_problem=answer.usage_problem,
        )

    def upper_bound_micro(self, request: InferenceRequest) -> int:
        """Return the bound of this request, in micro-dollars. Reserve this amount for it.

        Raises:
            NotPriced: The model is not in the catalog, or has no price.
            RequestRejected: The provider does not support its output schema.
        """
        return _bound_micro(request, self._clock())

    def delivered_micro(self, model: str, usage: TokenUsage, text: str) -> int:
        """See `pricing.delivered_micro`."""
        return pricing.delivered_micro(model, usage, text)

    def known_models(self) -> tuple[str, ...]:
        return catalog.known_models()

    def close(self) -> None:
        self._client.close()

    def _cost_micro(self, request: InferenceRequest, usage: TokenUsage, at: datetime) -> int:
        """Return the cost of a call, in micro-dollars.

        With a modifier that our requests cannot cause, the cost is at most the call's bound. A cost
        above the bound stops the feature, and a reported modifier must not have that effect.
        """
        cost = pricing.cost_micro(request.model, usage, at=at)
        found = modifiers.of(usage)
        if not found.unrequested:
            return cost
        logger.warning("call %s: unrequested modifiers in usage: %s", request.attempt_id, found)
        return min(cost, _bound_micro(request, at))

    def _price(self, request: InferenceRequest, error: InferenceError, at: datetime) -> None:
        """Set the cost of a failed call, or its ceiling, from the reported usage."""
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
