"""The client against a real socket: what it sends, what it reads, and what makes it let go."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
import trustme

from tests import wire
from tests.wire import Exchange, WireServer, serving
from workers.inference import (
    AnswerEmpty,
    AnswerGarbled,
    AnswerIncomplete,
    AnswerTruncated,
    AnthropicClient,
    Billing,
    BillingStopped,
    Cancel,
    Cancelled,
    ConnectionFailed,
    ContextExceeded,
    DeadlineReached,
    Gateway,
    InferenceError,
    InferenceRequest,
    InferenceResult,
    Message,
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
    sockets,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 20.0
"""How long a test waits for what should come at once. How soon it comes, `make bench` says."""

ENDLESS_S = 600.0
"""A time limit of the client's own that cannot be what ended a call within a test's patience."""


def a_request(**changes: Any) -> InferenceRequest:
    given: dict[str, Any] = {
        "attempt_id": uuid4(),
        "model": "claude-haiku-5-5",
        "system": (TextBlock("You help."), TextBlock("A long handbook.", cache=True)),
        "messages": (Message("user", (TextBlock("Hi"),)),),
        "max_tokens": 100,
        "deadline_s": 30.0,
    }
    return InferenceRequest(**{**given, **changes})


@contextmanager
def gateway(server: WireServer | str, **options: Any) -> Iterator[Gateway]:
    url = server if isinstance(server, str) else server.url
    door = Gateway(AnthropicClient(api_key="sk-test", base_url=url, **options))
    try:
        yield door
    finally:
        door.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=["plain", "tls"])
def secure(request: pytest.FixtureRequest, authority: trustme.CA) -> tuple[Any, Any]:
    """The server's TLS context and the client's, or two times None."""
    if request.param == "plain":
        return None, None
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    return theirs, ours


def a_good_answer(exchange: Exchange) -> None:
    if exchange.body.get("stream"):
        exchange.stream(*wire.events("Hel", "lo"))
    else:
        exchange.reply(wire.message("Hello"), headers={"request-id": "req_1"})


def hang_before_first_byte(exchange: Exchange) -> None:
    exchange.hang()


def hang_in_the_middle(exchange: Exchange) -> None:
    if exchange.body.get("stream"):
        exchange.start_stream()
        exchange.chunk(wire.sse(*wire.events("Hel", "lo")[:7]))
    else:
        exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{")
    exchange.hang()


def infer(
    door: Gateway, cancel: Cancel | None = None, on_delta: Any = None, **changes: Any
) -> InferenceResult:
    return door.infer(a_request(**changes), cancel=cancel or Cancel(), on_delta=on_delta)


def failure(door: Gateway, **changes: Any) -> InferenceError:
    with pytest.raises(InferenceError) as caught:
        infer(door, **changes)
    return caught.value


def in_thread(call: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - the future carries it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


# What is sent, and what a good answer becomes.


@pytest.mark.parametrize("stream", [True, False])
def test_a_complete_answer_with_usage_of_four_kinds_and_its_cost(*, stream: bool) -> None:
    with serving(a_good_answer) as server, gateway(server) as door:
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
    with serving(a_good_answer) as server, gateway(server) as door:
        infer(door, on_delta=lambda text: seen.append((text, threading.get_ident())))
    assert seen == [("Hel", threading.get_ident()), ("lo", threading.get_ident())]


def test_a_sink_that_fails_ends_the_call_with_its_own_error() -> None:
    def sink(text: str) -> None:
        raise ValueError(text)

    with serving(a_good_answer) as server, gateway(server) as door:
        with pytest.raises(ValueError, match="Hel"):
            infer(door, on_delta=sink)
        assert infer(door).text == "Hello"


def test_the_request_as_it_is_sent() -> None:
    attempt = UUID(int=7)
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    with serving(a_good_answer) as server, gateway(server) as door:
        infer(door, attempt_id=attempt, output_schema=schema)
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
    with serving(a_good_answer) as server, gateway(server) as door:
        assert infer(door).text == "Hello"
    assert server.requests[0].headers["authorization"] == "Bearer sk-test"
    client = AnthropicClient(api_key="sk-test")
    assert client._sdk.base_url.host == "api.anthropic.com"
    client.close()


def test_nothing_of_a_prompt_is_logged_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    canary = (Message("user", (TextBlock("canary-7351"),)),)
    with (
        serving(a_good_answer) as server,
        gateway(server) as door,
        caplog.at_level(logging.DEBUG),
    ):
        logging.getLogger("proof").debug("the log is listened to")
        infer(door, messages=canary)
    assert "canary-7351" in str(server.requests[0].body)
    assert "listened to" in caplog.text
    assert "canary-7351" not in caplog.text
    assert "sk-test" not in caplog.text


def test_an_unpriced_model_is_refused_unsent() -> None:
    with serving(a_good_answer) as server, gateway(server) as door:
        error = failure(door, model="claude-unheard-of")
        assert isinstance(error, NotPriced)
        assert error.billing is Billing.NONE
        with pytest.raises(NotPriced):
            door.upper_bound_micro(a_request(model="claude-unheard-of"))
    assert server.requests == []


def test_connections_are_used_again(secure: tuple[Any, Any]) -> None:
    theirs, ours = secure
    with (
        serving(a_good_answer, tls=theirs) as server,
        gateway(server, ssl_context=ours) as door,
    ):
        for stream in (True, False, True):
            infer(door, stream=stream)
    assert [exchange.connection for exchange in server.requests] == [0, 0, 0]


# Aborting.


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("reused", [True, False], ids=["reused", "new"])
@pytest.mark.parametrize("hang", [hang_before_first_byte, hang_in_the_middle])
def test_an_abort_ends_a_blocked_call(
    secure: tuple[Any, Any], hang: wire.Script, *, reused: bool, stream: bool
) -> None:
    theirs, ours = secure
    scripts = [a_good_answer, hang] if reused else [hang]
    with (
        serving(*scripts, a_good_answer, tls=theirs) as server,
        gateway(server, ssl_context=ours, idle_timeout_s=ENDLESS_S) as door,
    ):

        def calls() -> InferenceResult:
            if reused:
                infer(door, stream=stream)
            return infer(door, cancel, stream=stream, deadline_s=ENDLESS_S)

        cancel = Cancel()
        call = in_thread(calls)
        assert server.waiting.acquire(timeout=PATIENCE_S)
        cancel.cancel("switch")
        error = call.exception(timeout=PATIENCE_S)
        assert isinstance(error, Cancelled)
        assert error.reason == "switch"
        assert error.text in (("", "Hel") if stream else ("",))
        assert error.billing is (Billing.CEILING if error.text else Billing.UNSEEN)
        assert {exchange.connection for exchange in server.requests} == {0}
        assert infer(door, stream=stream).text == "Hello"


def test_of_many_blocked_calls_each_abort_ends_its_own_and_no_other() -> None:
    with (
        serving(hang_before_first_byte) as server,
        gateway(server, idle_timeout_s=ENDLESS_S) as door,
    ):
        cancels = [Cancel() for _ in range(100)]
        calls = [in_thread(partial(infer, door, c, deadline_s=ENDLESS_S)) for c in cancels]
        for _ in cancels:
            assert server.waiting.acquire(timeout=30)
        for half in (slice(0, 50), slice(50, 100)):
            assert not any(call.done() for call in calls[half])
            for cancel in cancels[half]:
                cancel.cancel("switch")
            errors = [call.exception(timeout=PATIENCE_S) for call in calls[half]]
            assert all(isinstance(error, Cancelled) for error in errors)


def test_a_token_cancelled_before_sends_nothing() -> None:
    cancel = Cancel()
    cancel.cancel("user")
    with serving(a_good_answer) as server, gateway(server) as door:
        with pytest.raises(Cancelled) as caught:
            infer(door, cancel)
        assert caught.value.billing is Billing.NONE
    assert server.connections == 0


def test_a_cancel_after_the_end_leaves_the_connection_to_the_next_call() -> None:
    with serving(a_good_answer) as server, gateway(server) as door:
        for _ in range(3):
            cancel = Cancel()
            infer(door, cancel)
            cancel.cancel("late")
        assert server.connections == 1


def test_cancels_that_race_the_end_never_break_another_call() -> None:
    """Each call's token is used at about the time it ends, while others reuse its connection."""

    def one(door: Gateway, number: int) -> str:
        mine, theirs = Cancel(), Cancel()
        late = threading.Thread(target=theirs.cancel, args=("late",))
        with contextlib.suppress(Cancelled):
            infer(door, theirs, on_delta=lambda text: late.start() if text == "lo" else None)
        text = infer(door, mine).text
        late.join()
        return text

    with (
        serving(a_good_answer) as server,
        gateway(server) as door,
        ThreadPoolExecutor(8) as threads,
    ):
        texts = list(threads.map(lambda n: one(door, n), range(100)))
    assert texts == ["Hello"] * 100


def test_an_answer_that_was_complete_before_the_cancel_is_returned() -> None:
    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.chunk(wire.sse(*wire.events("Hel", "lo")))
        exchange.hang()

    cancel = Cancel()
    with serving(script) as server, gateway(server) as door:
        # The rest of the answer came in the same piece, so nothing is missing any more.
        result = infer(door, cancel, on_delta=cancel.cancel)
    assert cancel.reason == "Hel"
    assert result.text == "Hello"


def test_a_finished_stream_that_stays_open_does_not_hold_the_answer_back() -> None:
    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.chunk(wire.sse(*wire.events("Hel", "lo")))
        exchange.hang()

    with serving(script) as server, gateway(server, idle_timeout_s=ENDLESS_S) as door:
        call = in_thread(lambda: infer(door, deadline_s=ENDLESS_S))
        assert call.result(timeout=PATIENCE_S).text == "Hello"


def full_listener() -> tuple[socket.socket, list[socket.socket]]:
    """A listener that lets no further connection come about."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


@pytest.fixture
def connecting(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a call has looked for an abort for the last time before it waits to be connected."""
    waits, poll = threading.Event(), sockets._poll

    def note(*args: Any) -> bool:
        waits.set()
        return poll(*args)

    monkeypatch.setattr(sockets, "_poll", note)
    return waits


def test_an_abort_while_connecting(connecting: threading.Event) -> None:
    listener, fillers = full_listener()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with gateway(url, connect_timeout_s=ENDLESS_S) as door:
        cancel = Cancel()
        call = in_thread(lambda: infer(door, cancel, deadline_s=ENDLESS_S))
        assert connecting.wait(PATIENCE_S)
        cancel.cancel("switch")
        error = call.exception(timeout=PATIENCE_S)
    for sock in (listener, *fillers):
        sock.close()
    assert isinstance(error, Cancelled)
    assert error.billing is Billing.NONE


def test_an_abort_in_the_tls_handshake(authority: trustme.CA) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        gateway(
            f"https://localhost:{listener.getsockname()[1]}", connect_timeout_s=ENDLESS_S
        ) as door,
    ):
        cancel = Cancel()
        call = in_thread(lambda: infer(door, cancel, deadline_s=ENDLESS_S))
        conn, _ = listener.accept()
        assert conn.recv(1)  # the client's hello: it now waits for ours
        cancel.cancel("switch")
        error = call.exception(timeout=PATIENCE_S)
        conn.close()
    assert isinstance(error, Cancelled)
    assert error.billing is Billing.NONE


# Time limits.


def test_the_deadline_ends_a_call_that_still_trickles() -> None:
    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.chunk(wire.sse(*wire.events("Hel", "lo")[:7]))
        while True:  # until the other side hangs up
            exchange.chunk(b": still here\n\n")
            time.sleep(0.02)

    with serving(script) as server, gateway(server, idle_timeout_s=ENDLESS_S) as door:
        started = time.monotonic()
        error = in_thread(lambda: infer(door, deadline_s=2.0)).exception(timeout=PATIENCE_S)
        took = time.monotonic() - started
    assert isinstance(error, DeadlineReached)
    assert error.text == "Hel"
    assert took >= 2.0


@pytest.mark.parametrize("stream", [True, False])
def test_the_deadline_ends_a_call_that_waits(*, stream: bool) -> None:
    with serving(hang_before_first_byte) as server, gateway(server) as door:
        error = failure(door, deadline_s=0.2, stream=stream)
    assert isinstance(error, DeadlineReached)
    assert not error.retryable


def test_the_deadline_ends_a_connection_attempt() -> None:
    listener, fillers = full_listener()
    with gateway(f"http://127.0.0.1:{listener.getsockname()[1]}", connect_timeout_s=20) as door:
        error = failure(door, deadline_s=0.2)
    for sock in (listener, *fillers):
        sock.close()
    assert isinstance(error, DeadlineReached)
    assert error.billing is Billing.NONE


@pytest.mark.parametrize("hang", [hang_before_first_byte, hang_in_the_middle])
@pytest.mark.parametrize("stream", [True, False])
def test_a_provider_that_falls_silent_is_a_provider_timeout(
    hang: wire.Script, *, stream: bool
) -> None:
    with serving(hang) as server, gateway(server, idle_timeout_s=0.2) as door:
        error = failure(door, stream=stream)
    assert isinstance(error, ProviderTimeout)
    assert error.provider_failure


def test_a_connection_that_never_comes_about_is_unbilled() -> None:
    listener, fillers = full_listener()
    with gateway(f"http://127.0.0.1:{listener.getsockname()[1]}", connect_timeout_s=0.2) as door:
        error = failure(door)
    for sock in (listener, *fillers):
        sock.close()
    assert isinstance(error, ProviderTimeout)
    assert error.billing is Billing.NONE


# Failures the network or the provider speaks of.


def test_a_refused_connection_is_unbilled() -> None:
    with socket.socket() as taken:  # by one who does not listen, and so by nobody else
        taken.bind(("127.0.0.1", 0))
        with gateway(f"http://127.0.0.1:{taken.getsockname()[1]}") as door:
            error = failure(door)
    assert isinstance(error, ConnectionFailed)
    assert error.billing is Billing.NONE
    assert error.retryable
    assert "refused" in error.detail


def test_a_certificate_nobody_trusts_is_a_failed_connection(authority: trustme.CA) -> None:
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(theirs)
    with serving(a_good_answer, tls=theirs) as server, gateway(server) as door:
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


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "code", "headers", "kind", "billing", "retryable", "retry_after"),
    [
        (400, None, {}, RequestRejected, Billing.NONE, False, None),
        (429, None, {"retry-after": "7"}, RateLimited, Billing.NONE, True, 7.0),
        (429, None, {"retry-after": "9e9"}, RateLimited, Billing.NONE, True, 9e9),
        (429, None, {"retry-after": "-3"}, RateLimited, Billing.NONE, True, 0.0),
        (429, None, {"retry-after": "nan"}, RateLimited, Billing.NONE, True, None),
        (  # by the provider's clock: ours may be wrong by days
            429,
            None,
            {
                "date": "Sun, 01 Nov 2026 08:00:00 GMT",
                "retry-after": "Sun, 01 Nov 2026 08:00:09 GMT",
            },
            RateLimited,
            Billing.NONE,
            True,
            9.0,
        ),
        (429, None, {"retry-after-ms": "1500"}, RateLimited, Billing.NONE, True, 1.5),
        (429, None, {"x-should-retry": "false"}, RateLimited, Billing.NONE, False, None),
        (409, None, {"x-should-retry": "true"}, RequestRejected, Billing.NONE, True, None),
        (
            429,
            "enforced_spend_limit_reached",
            {"x-should-retry": "true"},
            BillingStopped,
            Billing.NONE,
            False,
            None,
        ),
        (500, None, {}, ProviderFault, Billing.NONE, True, None),
        (504, None, {}, ProviderTimeout, Billing.NONE, True, None),
        (529, None, {}, Overloaded, Billing.NONE, True, None),
    ],
)
def test_error_responses(
    status: int,
    code: str | None,
    headers: dict[str, str],
    kind: type[InferenceError],
    billing: Billing,
    *,
    retryable: bool,
    retry_after: float | None,
    stream: bool,
) -> None:
    def script(exchange: Exchange) -> None:
        named = {"request-id": "req_9", **headers}
        exchange.reply(api_error("some_error", code), status=status, headers=named)

    with serving(script) as server, gateway(server) as door:
        error = failure(door, stream=stream)
    assert type(error) is kind
    assert (error.status, error.request_id) == (status, "req_9")
    assert error.billing is billing
    assert error.retryable is retryable
    assert error.retry_after_s == retry_after
    assert "canary" not in str(error)
    assert len(server.requests) == 1


def test_a_redirect_is_not_followed() -> None:
    with serving(a_good_answer) as other:

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


# Failures nobody speaks of.


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
def test_a_complete_answer_nobody_can_use_is_billed_and_known(
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
    with serving(a_good_answer) as server, gateway(server) as door:
        error = failure(door, messages=(Message("user", (TextBlock("\ud800"),)),))
    assert isinstance(error, RequestRejected)
    assert error.billing is Billing.NONE


def test_a_schema_the_provider_cannot_take_is_rejected_unsent() -> None:
    with serving(a_good_answer) as server, gateway(server) as door:
        error = failure(door, output_schema={"description": "anything"})
    assert isinstance(error, RequestRejected)
    assert error.billing is Billing.NONE
    assert server.requests == []


def test_closing_the_client_ends_calls_in_flight() -> None:
    with serving(hang_before_first_byte) as server:
        with gateway(server) as door:
            call = in_thread(lambda: infer(door))
            assert server.waiting.acquire(timeout=PATIENCE_S)
        error = call.exception(timeout=PATIENCE_S)
    assert isinstance(error, ConnectionFailed)
    assert error.billing is Billing.UNSEEN


def test_an_answer_is_kept_whatever_follows_its_last_event() -> None:
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
