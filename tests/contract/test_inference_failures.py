"""The client against a real socket: the error that it raises for each failure."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import pytest

from tests import wire
from tests.provider_calls import failure, gateway, infer, user
from tests.wire import Exchange, serving
from workers.inference import (
    AnswerEmpty,
    AnswerGarbled,
    AnswerIncomplete,
    AnswerTruncated,
    Billing,
    BillingStopped,
    ConnectionFailed,
    ContextExceeded,
    InferenceError,
    Overloaded,
    ProviderFault,
    ProviderTimeout,
    RateLimited,
    Refused,
    RequestRejected,
    TokenUsage,
    UnexpectedStop,
)


def test_a_refused_connection_is_unbilled() -> None:
    with socket.socket() as taken:  # bound, and does not listen
        taken.bind(("127.0.0.1", 0))
        with gateway(f"http://127.0.0.1:{taken.getsockname()[1]}") as door:
            error = failure(door)
    assert isinstance(error, ConnectionFailed)
    assert error.billing is Billing.NONE
    assert error.retryable
    assert "refused" in error.detail


def test_an_untrusted_certificate_is_a_failed_connection(
    server_tls: ssl.SSLContext,
) -> None:
    with serving(wire.answer, tls=server_tls) as server, gateway(server) as door:
        error = failure(door)
    assert isinstance(error, ConnectionFailed)
    assert error.billing is Billing.NONE
    assert server.requests == []


def test_a_connection_lost_before_the_first_byte_may_be_billed() -> None:
    with serving(Exchange.close) as server, gateway(server) as door:
        error = failure(door)
    assert isinstance(error, ConnectionFailed)
    assert error.billing is Billing.UNSEEN


def api_error(kind: str, code: str | None = None) -> dict[str, Any]:
    details = {"error_code": code} if code else None
    error = {"type": kind, "message": "canary-7351", "details": details}
    return {"type": "error", "error": error, "request_id": "req_9"}


DATES = {  # by the provider's clock: ours may be wrong by days
    "date": "Sun, 01 Nov 2026 08:00:00 GMT",
    "retry-after": "Sun, 01 Nov 2026 08:00:09 GMT",
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "headers", "kind", "retryable", "retry_after"),
    [
        (400, {}, RequestRejected, False, None),
        (429, {"retry-after": "7"}, RateLimited, True, 7.0),
        (429, {"retry-after": "9e9"}, RateLimited, True, 9e9),
        (429, {"retry-after": "-3"}, RateLimited, True, 0.0),
        (429, {"retry-after": "nan"}, RateLimited, True, None),
        (429, DATES, RateLimited, True, 9.0),
        (429, {"retry-after-ms": "1500"}, RateLimited, True, 1.5),
        (429, {"x-should-retry": "false"}, RateLimited, False, None),
        (409, {"x-should-retry": "true"}, RequestRejected, True, None),
        (429, {"x-should-retry": "true"}, BillingStopped, False, None),
        (500, {}, ProviderFault, True, None),
        (504, {}, ProviderTimeout, True, None),
        (529, {}, Overloaded, True, None),
    ],
)
def test_error_responses(
    status: int,
    headers: dict[str, str],
    kind: type[InferenceError],
    *,
    retryable: bool,
    retry_after: float | None,
    stream: bool,
) -> None:
    code = "enforced_spend_limit_reached" if kind is BillingStopped else None

    def script(exchange: Exchange) -> None:
        named = {"request-id": "req_9", **headers}
        exchange.reply(api_error("some_error", code), status=status, headers=named)

    with serving(script) as server, gateway(server) as door:
        error = failure(door, stream=stream)
    assert type(error) is kind
    assert (error.status, error.request_id) == (status, "req_9")
    assert error.billing is Billing.NONE
    assert error.retryable is retryable
    assert error.retry_after_s == retry_after
    assert "canary" not in str(error)
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed() -> None:
    with serving(wire.answer) as other:

        def script(exchange: Exchange) -> None:
            exchange.reply(b"", status=307, headers={"location": other.url})

        with serving(script) as server, gateway(server) as door:
            error = failure(door)
    assert isinstance(error, RequestRejected)
    assert other.requests == []


@pytest.mark.parametrize(
    ("kind", "begun", "expected"),
    [
        ("overloaded_error", False, Overloaded),
        ("overloaded_error", True, Overloaded),
        ("api_error", False, ProviderFault),
        ("rate_limit_error", False, RateLimited),
        ("brand_new_error", True, ProviderFault),
    ],
)
def test_an_error_inside_a_stream(
    kind: str, expected: type[InferenceError], *, begun: bool
) -> None:
    def script(exchange: Exchange) -> None:
        before = wire.events("Hel", "lo")[:7] if begun else []
        exchange.stream(*before, ("error", api_error(kind)))

    with serving(script) as server, gateway(server) as door:
        error = failure(door)
    assert type(error) is expected
    assert error.text == ("Hel" if begun else "")
    assert error.request_id == "req_1"


def test_a_stream_that_just_ends_is_incomplete() -> None:
    def script(exchange: Exchange) -> None:
        exchange.stream(*wire.events("Hel", "lo")[:-1])

    with serving(script) as server, gateway(server) as door:
        error = failure(door)
    assert isinstance(error, AnswerIncomplete)
    assert error.text == "Hello"


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_breaks_off_is_incomplete(*, stream: bool) -> None:
    def script(exchange: Exchange) -> None:
        if stream:
            exchange.start_stream()
            exchange.chunk(wire.sse(*wire.events("Hel", "lo")[:7]))
        else:
            exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{")
        exchange.close()

    with serving(script) as server, gateway(server) as door:
        error = failure(door, stream=stream)
    assert isinstance(error, AnswerIncomplete)
    assert error.text == ("Hel" if stream else "")


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"", b"[]", b'{"type": "message"}', b'{"type": "other"}', b"\xff\xfe"],
)
def test_a_response_that_is_no_message_is_garbled(body: bytes) -> None:
    with serving(lambda exchange: exchange.reply(body)) as server, gateway(server) as door:
        error = failure(door, stream=False)
    assert isinstance(error, AnswerGarbled)
    assert error.billing is Billing.UNSEEN


@pytest.mark.parametrize(
    "event",
    [
        ("content_block_delta", "{not json"),
        ("content_block_delta", "[]"),
        ("content_block_delta", {"delta": {"type": "text_delta"}}),
        ("content_block_delta", {"delta": {"type": "text_delta", "text": 7}}),
        ("message_stop", {"type": "message_stop"}),
        ("message_start", {"message": wire.message()}),
        ("message_delta", {"delta": None, "usage": None}),
        ("error", "{not json"),
    ],
)
def test_an_event_that_cannot_be_read_is_garbled(event: tuple[str, Any]) -> None:
    def script(exchange: Exchange) -> None:
        exchange.stream(*wire.events("Hel", "lo")[:7], event)

    with serving(script) as server, gateway(server) as door:
        error = failure(door)
    assert isinstance(error, AnswerGarbled)
    assert error.text == "Hel"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("texts", "stop_reason", "kind"),
    [
        (("No.",), "refusal", Refused),
        (("Hal",), "max_tokens", AnswerTruncated),
        (("Hal",), "model_context_window_exceeded", ContextExceeded),
        (("Hal",), "tool_use", UnexpectedStop),
        (("Hal",), "pause_turn", UnexpectedStop),
        (("Hal",), "brand_new_reason", UnexpectedStop),
        (("Hal",), None, UnexpectedStop),
        ((), "end_turn", AnswerEmpty),
        (("", " \n"), "end_turn", AnswerEmpty),
    ],
)
def test_a_complete_answer_without_a_use_is_billed_and_known(
    texts: tuple[str, ...], stop_reason: str | None, kind: type[InferenceError], *, stream: bool
) -> None:
    def script(exchange: Exchange) -> None:
        if stream:
            exchange.stream(*wire.events(*texts, stop_reason=stop_reason))
        else:
            exchange.reply(wire.message(*texts, stop_reason=stop_reason))

    with serving(script) as server, gateway(server) as door:
        error = failure(door, stream=stream)
    assert type(error) is kind
    assert error.billing is Billing.KNOWN
    assert error.usage == TokenUsage(11, 9, 5, 3)
    assert error.cost_micro == 7
    assert error.text == "".join(texts)
    assert error.stop_reason == stop_reason


def test_text_that_is_no_unicode_is_rejected_unsent() -> None:
    with serving(wire.answer) as server, gateway(server) as door:
        error = failure(door, messages=user("\ud800"))
    assert isinstance(error, RequestRejected)
    assert error.billing is Billing.NONE


def test_a_schema_the_provider_cannot_take_is_rejected_unsent() -> None:
    with serving(wire.answer) as server, gateway(server) as door:
        error = failure(door, output_schema={"description": "anything"})
    assert isinstance(error, RequestRejected)
    assert error.billing is Billing.NONE
    assert server.requests == []


def test_an_answer_is_kept_if_more_follows_its_last_event() -> None:
    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.chunk(
            wire.sse(*wire.events("Hello"), *wire.events("Bye", stop_reason="max_tokens"))
            + b"event: error\ndata: {}\n\n\xff\n\n"
        )
        exchange.close()

    with serving(script) as server, gateway(server) as door:
        answer = infer(door)
    assert (answer.text, answer.stop_reason) == ("Hello", "end_turn")
