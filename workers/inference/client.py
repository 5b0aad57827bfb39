"""The only user of the provider's SDK: one call in, one answer or one error out.

The SDK builds and signs the request and classifies error responses. It does not retry (another
layer does), does not parse answers (`answer.py`), and does not log.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import anthropic  # noqa: TID251 - this is the one
import httpx2

from workers.inference import body, failures, pricing, wire
from workers.inference.answer import Answer
from workers.inference.errors import (
    AccessDenied,
    AnswerGarbled,
    AnswerIncomplete,
    Billing,
    Cancelled,
    DeadlineReached,
    Facts,
    InferenceError,
    RequestRejected,
)
from workers.inference.tokens import most_tokens
from workers.inference.transport import PEER_TIMEOUT_S, AbortableTransport
from workers.inference.usage import TokenBound

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

    from workers.inference.sockets import Call
    from workers.inference.types import (
        Cancel,
        DeltaSink,
        InferenceRequest,
        TokenUsage,
    )

DEFAULT_BASE_URL = "https://api.anthropic.com"

DRAIN_S = 0.5
"""Seconds for a finished stream to end cleanly, so that its connection can be reused."""

_SDK_ERRORS: dict[type[Exception], type[InferenceError]] = {
    anthropic.APIResponseValidationError: AnswerGarbled,
    anthropic.CredentialsError: AccessDenied,
    # All other SDK errors without a response come from wrong arguments.
    anthropic.AnthropicError: RequestRejected,
}


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """A complete, usable answer, not yet priced."""

    text: str
    stop_reason: str
    model: str
    usage: TokenUsage | None
    """None: no valid usage was reported. `usage_problem` has the reason."""
    request_id: str | None
    rate_limits: Mapping[str, str]
    latency_ms: int
    ttft_ms: int | None
    usage_problem: str = ""


class AnthropicClient:
    """Client of the Messages API. Create one per process before the first job: it takes 0.1 s."""

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str | None = None,
        connect_timeout_s: float = 5.0,
        idle_timeout_s: float = 60.0,
        peer_timeout_s: int = PEER_TIMEOUT_S,
        max_connections: int = 100,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Create the client without connecting.

        `idle_timeout_s` limits the time before the first byte and between two bytes.
        `peer_timeout_s` limits the time until a packet is acknowledged. `max_connections` is the
        number of idle connections kept: one per thread.
        """
        if not api_key:  # the SDK would read one from the environment
            raise ValueError("api_key is empty")
        _silence_sdk()
        self._transport = AbortableTransport(
            idle_connections=max_connections,
            peer_timeout_s=peer_timeout_s,
            ssl_context=ssl_context,
        )
        timeout = httpx2.Timeout(idle_timeout_s, connect=connect_timeout_s)
        self._sdk = anthropic.Anthropic(
            api_key=api_key,
            base_url=base_url or DEFAULT_BASE_URL,
            max_retries=0,
            timeout=timeout,
            open_telemetry=False,
            http_client=httpx2.Client(
                transport=self._transport,
                headers={"accept-encoding": body.ACCEPT_ENCODING},
                trust_env=False,
                timeout=timeout,
                # A redirect would send the prompt and the key to an unconfigured address.
                follow_redirects=False,
            ),
        )

    def complete(
        self, request: InferenceRequest, *, cancel: Cancel, on_delta: DeltaSink | None = None
    ) -> RawAnswer:
        """Make one call and wait for its complete answer. Raise `InferenceError` if it fails."""
        if cancel.reason is not None:
            raise Cancelled("cancelled before sending", reason=cancel.reason, billing=Billing.NONE)
        limit = body.stream_limit if request.stream else body.answer_limit
        with self._transport.call(request.deadline_s, max_bytes=limit(request.max_tokens)) as call:
            attempt = _Attempt(call, request, cancel, on_delta)
            cancel.on_cancel(call.abort)
            try:
                return attempt.run(self._sdk)
            finally:
                cancel.on_cancel(None)

    def close(self) -> None:
        """Close all connections. Calls in flight fail as broken connections."""
        self._sdk.close()


class _Attempt:
    def __init__(
        self, call: Call, request: InferenceRequest, cancel: Cancel, on_delta: DeltaSink | None
    ) -> None:
        self._call = call
        self._request = request
        self._cancel = cancel
        self._on_delta = on_delta
        self._limit = body.answer_limit(request.max_tokens)
        self._answer = Answer(_most(request), max_text=self._limit)
        self._in_events = request.stream
        """Whether the answer consists of events. It may differ from the request."""
        self._headers: Mapping[str, str] = {}
        self._ttft_ms: int | None = None

    def run(self, sdk: anthropic.Anthropic) -> RawAnswer:
        try:
            if self._request.stream:
                self._stream(sdk)
            else:
                self._whole(sdk)
        except InferenceError:
            raise
        except _SinkFailed as failed:
            raise failed.error from None
        except Exception as error:
            # The tables classify errors of the SDK and its transport. An error response of the
            # provider counts even if we aborted the call.
            is_response = isinstance(error, anthropic.APIStatusError)
            failure = (None if is_response else self._aborted()) or self._failure(error)
            if failure is None:
                if not self._call.received or isinstance(error, MemoryError):
                    raise
                # An unlisted error after the first byte: a retry would be billed again.
                failure = AnswerGarbled(type(error).__name__, **self._facts())
            # Without the cause: its text may quote the prompt or the answer.
            raise failure from None
        return self._result()

    def _stream(self, sdk: anthropic.Anthropic) -> None:
        stream = sdk.messages.create(**_arguments(self._request), stream=True)
        try:
            self._headers = stream.response.headers
            self._read(stream.response.iter_bytes())
        except (httpx2.TransportError, ValueError):
            # After the last event a broken connection does no harm.
            if not self._answer.complete:
                raise
        finally:
            stream.response.close()
        if not self._answer.complete:
            raise self._aborted() or AnswerIncomplete(
                "the stream ended before its last event", **self._facts()
            )

    def _read(self, chunks: Iterator[bytes]) -> None:
        """Read a body of events or of one message. Raise `ValueError` if it is neither."""
        form, pieces = body.opened(chunks)
        self._in_events = form == "events"
        if form == "message":
            self._answer.read_message(b"".join(body.within(pieces, self._limit)))
        elif form == "events":
            for kind, data in body.events(pieces, limit=self._limit):
                self._take(kind or _type(data), data)
                if self._answer.complete:
                    break
            for _ in pieces:
                pass  # not part of the answer, but the connection is free only after its end
            if not self._answer.begun and not self._call.closed:
                raise ValueError("events without message_start")
        elif form == "neither" or not self._call.closed:
            raise ValueError("neither events nor a message")

    def _take(self, kind: str, data: str) -> None:
        if kind == "error":
            raise failures.from_event(data, begun=self._answer.begun, facts=self._facts())
        piece = self._answer.read_event(kind, data)
        if self._answer.complete:
            self._call.deadline = min(self._call.deadline, time.monotonic() + DRAIN_S)
        if not piece:
            return
        if self._ttft_ms is None:
            self._ttft_ms = self._elapsed_ms()
        if self._on_delta is not None:
            try:
                self._on_delta(piece)
            except Exception as error:
                raise _SinkFailed(error) from error

    def _whole(self, sdk: anthropic.Anthropic) -> None:
        response = sdk.messages.with_raw_response.create(**_arguments(self._request)).http_response
        self._headers = response.headers
        self._read(iter([response.content]))
        if not self._answer.complete:
            raise AnswerIncomplete("the answer ended before its last event", **self._facts())

    def _result(self) -> RawAnswer:
        answer = self._answer
        verdict = answer.verdict(self._facts())
        if verdict is not None:
            raise verdict
        return RawAnswer(
            text=answer.text,
            stop_reason=answer.stop_reason or "",
            model=answer.model,
            usage=None if answer.usage_problem else answer.usage,
            request_id=self._headers.get("request-id"),
            rate_limits=failures.rate_limits(self._headers),
            latency_ms=self._elapsed_ms(),
            ttft_ms=self._ttft_ms,
            usage_problem=answer.usage_problem,
        )

    def _aborted(self) -> InferenceError | None:
        """Return our own abort, if it ended the call."""
        if self._call.aborted:
            reason = self._cancel.reason or ""
            return Cancelled(f"cancelled: {reason}", reason=reason, **self._facts())
        if self._call.deadline_reached:
            return DeadlineReached(
                f"no complete answer within {self._request.deadline_s:g} s", **self._facts()
            )
        return None

    def _failure(self, error: Exception) -> InferenceError | None:
        facts = self._facts()
        if isinstance(error, anthropic.APIStatusError):
            return status_failure(error, {**facts, "request_id": error.request_id})
        cause: BaseException = error
        if isinstance(error, anthropic.APIConnectionError):
            cause = error.__cause__ or error
        ended = self._call.closed and self._call.is_http
        if isinstance(cause, httpx2.RemoteProtocolError) and not ended:
            # The connection did not end: the response is not HTTP.
            return AnswerGarbled(type(cause).__name__, **facts)
        found = failures.from_exception(cause, received=self._call.received, facts=facts)
        return found or _sdk_failure(error, facts)

    def _billing(self) -> Billing:
        """Return the billing state if the call ends now, without a complete answer."""
        if not self._call.sent:
            return Billing.NONE
        if self._answer.reported is None:
            return Billing.UNSEEN
        # A stream begins with the prompt's usage. An unstreamed answer contains the final usage.
        if self._in_events:
            return Billing.CEILING
        return Billing.UNSEEN if self._answer.usage_problem else Billing.KNOWN

    def _facts(self) -> Facts:
        return {
            "request_id": self._headers.get("request-id"),
            "billing": self._billing(),
            "usage": self._answer.reported,
            "text": self._answer.text,
            "stop_reason": self._answer.stop_reason,
            "latency_ms": self._elapsed_ms(),
            "ttft_ms": self._ttft_ms,
            "rate_limits": failures.rate_limits(self._headers),
        }

    def _elapsed_ms(self) -> int:
        return round((time.monotonic() - self._call.started) * 1000)


def _type(data: str) -> str:
    """Return the `type` in the data of an event that was sent without a name."""
    found = json.loads(data) if data.startswith("{") else {}
    kind = found.get("type")
    return kind if isinstance(kind, str) else ""


class _SinkFailed(Exception):  # noqa: N818 - wraps the caller's error, so it is not classified
    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def wire_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a JSON Schema that the provider enforces. Descriptions contain the rest.

    The answer must still be validated against the whole schema. An unsupported schema raises
    `RequestRejected`.
    """
    try:
        return _wire_schema(json.dumps(schema, sort_keys=False))
    except (ValueError, TypeError, AssertionError, RecursionError) as error:
        raise RequestRejected(f"output schema: {error}", billing=Billing.NONE) from error


@lru_cache(maxsize=256)
def _wire_schema(schema: str) -> dict[str, Any]:
    return anthropic.transform_schema(json.loads(schema))


def schema_bytes(request: InferenceRequest) -> int:
    """Return the most tokens of the output schema as it is sent. 0 without one."""
    if request.output_schema is None:
        return 0
    return most_tokens(json.dumps(wire_schema(request.output_schema), ensure_ascii=False))


def _most(request: InferenceRequest) -> TokenBound:
    """Return the most tokens a request can use, as they were reserved for it."""
    size = schema_bytes(request)
    prompt = pricing.prompt_bound_tokens(request, schema_bytes=size)
    return TokenBound(prompt=prompt, output=request.max_tokens)


def _arguments(request: InferenceRequest) -> dict[str, Any]:
    schema = request.output_schema
    return wire.arguments(request, None if schema is None else wire_schema(schema))


def status_failure(error: anthropic.APIStatusError, facts: Facts) -> InferenceError:
    """Return our error for an error response, with these facts about the call."""
    return failures.from_status(
        error.status_code,
        headers=error.response.headers,
        error_type=error.type if isinstance(error.type, str) else None,
        error_code=error.error_code,
        from_provider=failures.is_provider_error(error.body),
        facts=facts,
        message=error.api_message,
    )


def _sdk_failure(error: Exception, facts: Facts) -> InferenceError | None:
    for base in type(error).__mro__:
        if base in _SDK_ERRORS:
            return _SDK_ERRORS[base](type(error).__name__, **facts)
    return None


def _silence_sdk() -> None:
    """Silence loggers that write whole requests with prompts at DEBUG."""
    for name in ("anthropic", "httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
