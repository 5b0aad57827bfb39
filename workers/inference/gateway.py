"""Can we? The one door to the provider: admission, the call, its price."""

from __future__ import annotations

from typing import Protocol

from workers.inference import catalog, pricing
from workers.inference.client import RawAnswer, schema_bytes
from workers.inference.errors import Billing, InferenceError
from workers.inference.types import Cancel, DeltaSink, InferenceRequest, InferenceResult


class Client(Protocol):
    """What the gateway needs of `AnthropicClient`."""

    def complete(
        self, request: InferenceRequest, *, cancel: Cancel, on_delta: DeltaSink | None = None
    ) -> RawAnswer: ...

    def close(self) -> None: ...


class Gateway:
    """Makes provider calls; one per process, safe for any number of threads."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def infer(
        self, request: InferenceRequest, *, cancel: Cancel, on_delta: DeltaSink | None = None
    ) -> InferenceResult:
        """Make one call and wait for its answer. It is never retried here.

        `cancel` ends it from any thread within a fifth of a second. `on_delta` gets each piece of
        text in this thread, when the request streams; what it raises ends the call and is raised.

        Raises:
            InferenceError: What went wrong; its class is the verdict, its `billing` the bill.
        """
        pricing.price_list(request.model)  # refuses what has no price before anything is sent
        # Breaker admission and provider-limit buckets belong here, before the call...
        try:
            answer = self._client.complete(request, cancel=cancel, on_delta=on_delta)
        except InferenceError as error:
            if error.billing is Billing.KNOWN and error.usage is not None:
                error.cost_micro = pricing.cost_micro(request.model, error.usage)
            # ... the breaker's record of a failure here (`error.provider_failure`) ...
            raise
        # ... and here that of a success, with the buckets' feedback from `answer.rate_limits`.
        return InferenceResult(
            text=answer.text,
            stop_reason=answer.stop_reason,
            model=answer.model,
            usage=answer.usage,
            cost_micro=pricing.cost_micro(request.model, answer.usage),
            request_id=answer.request_id,
            latency_ms=answer.latency_ms,
            ttft_ms=answer.ttft_ms,
            rate_limits=answer.rate_limits,
        )

    def upper_bound_micro(self, request: InferenceRequest) -> int:
        """The most this request can cost, in micro-dollars: what to reserve for it.

        Raises:
            NotPriced: The model is not in the catalog, or has no price.
            RequestRejected: Its output schema cannot be expressed for the provider.
        """
        return pricing.upper_bound_micro(request, schema_bytes=schema_bytes(request))

    def known_models(self) -> tuple[str, ...]:
        """Ids of all models that may be called."""
        return catalog.known_models()

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()
