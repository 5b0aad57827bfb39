"""The client against a real socket: the requests it sends, the answers and errors it returns."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from typing import Any
from uuid import UUID

import pytest

from tests import wire
from tests.provider_calls import a_request, failure, gateway, infer, user
from tests.wire import Exchange, serving
from workers.inference import (
    AnswerEmpty,
    AnswerGarbled,
    AnswerIncomplete,
    AnswerTruncated,
    AnthropicClient,
    Billing,
    BillingStopped,
    ConnectionFailed,
    ContextExceeded,
    InferenceError,
    NotPriced,
    Overloaded,
    ProviderFault,
    ProviderTimeout,
    RateLimited,
    Refused,
    RequestRejected,
    TextBlock,
    TokenUsage,
    UnexpectedStop,
)


@pytest.mark.parametrize("stream", [True, False])
def test_a_complete_answer_with_usage_of_four_kinds_and_its_cost(*, stream: bool) -> None:
    with serving(wire.answer) as server, gateway(server) as door:
        result = infer(door, stream=stream)
    assert result.text == "Hello"
    assert result.stop_reason == "end_turn"
    assert result.model == "claude-haiku-5-5-20261001"
    assert result.usage == TokenUsage(11, 9, 5, 3)
    # 11 x 0.10 + 9 x 0.50 + 5 x 0.01 + 3 x 0.125 = 6.025
    assert result.cost_micro == 7
    assert result.request_id == "req_1"
    assert (result.ttft_ms is not None) is stream


def test_deltas_reach_the_sink_in_the_calling_thread() -> None:
    seen: list[tuple[str, int]] = []
    with serving(wire.answer) as server, gateway(server) as door:
        infer(door, on_delta=lambda text: seen.append((text, threading.get_ident())))
    assert seen == [("Hel", threading.get_ident()), ("lo", threading.get_ident())]


def test_a_sink_that_fails_ends_the_call_with_its_own_error() -> None:
    def sink(text: str) -> None:
        raise ValueError(text)

    with serving(wire.answer) as server, gateway(server) as door:
        with pytest.raises(ValueError, match="Hel"):
            infer(door, on_delta=sink)
        assert infer(door).text == "Hello"


def test_the_request_as_it_is_sent() -> None:
    attempt = UUID(int=7)
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    with serving(wire.answer) as server, gateway(server) as door:
        system = (TextBlock("You help."), TextBlock("A long handbook.", cache=True))
        infer(door, attempt_id=attempt, output_schema=schema, system=system)
    (sent,) = server.requests
    assert sent.headers["x-attempt-id"] == str(attempt)
    assert sent.headers["accept-encoding"] == "gzip"
    assert sent.headers["authorization"] == "Bearer sk-test"
    assert sent.body["system"] == [
        {"type": "text", "text": "You help."},
        {"type": "text", "text": "A long handbook.", "cache_control": {"type": "ephemeral"}},
    ]
    assert sent.body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert sent.body["service_tier"] == "standard_only"
    fmt = sent.body["output_config"]["format"]
    assert fmt["type"] == "json_schema"
    assert fmt["schema"]["additionalProperties"] is False
    assert fmt["schema"]["properties"]["n"]["type"] == "integer"
    assert "minimum" not in fmt["schema"]["properties"]["n"]


def test_rate_limit_headers_come_along() -> None:
    def script(exchange: Exchange) -> None:
        limits = {"anthropic-ratelimit-requests-remaining": "3", "x-other": "no"}
        exchange.reply(wire.message("Hello"), headers=limits)

    with serving(script) as server, gateway(server) as door:
        result = infer(door, stream=False)
    assert result.rate_limits == {"anthropic-ratelimit-requests-remaining": "3"}


def test_an_empty_key_is_refused_even_if_the_environment_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from-the-environment")
    with pytest.raises(ValueError, match="api_key"):
        AnthropicClient(api_key="")


def test_the_environment_changes_neither_address_nor_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from-the-environment")
    with serving(wire.answer) as server, gateway(server) as door:
        assert infer(door).text == "Hello"
    assert server.requests[0].headers["authorization"] == "Bearer sk-test"
    client = AnthropicClient(api_key="sk-test")
    assert client._sdk.base_url.host == "api.anthropic.com"
    client.close()


def test_nothing_of_a_prompt_is_logged_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(wire.answer) as server, gateway(server) as door:
        logging.getLogger("proof").debug("the log is captured")
        infer(door, messages=user("canary-7351"))
    assert "canary-7351" in str(server.requests[0].body)
    assert "is captured" in caplog.text
    assert "canary-7351" not in caplog.text
    assert "sk-test" not in caplog.text


def test_an_unpriced_model_is_refused_unsent() -> None:
    with serving(wire.answer) as server, gateway(server) as door:
        error = failure(door, model="claude-unheard-of")
        assert isinstance(error, NotPriced)
        assert error.billing is Billing.NONE
        with pytest.raises(NotPriced):
            door.upper_bound_micro(a_request(model="claude-unheard-of"))
    assert server.requests == []


def test_connections_are_used_again(secure: tuple[Any, Any]) -> None:
    theirs, ours = secure
    with (
        serving(wire.answer, tls=theirs) as server,
        gateway(server, ssl_context=ours) as door,
    ):
        for stream in (True, False, True):
            infer(door, stream=stream)
    assert [exchange.connection for exchange in server.requests] == [0, 0, 0]


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
