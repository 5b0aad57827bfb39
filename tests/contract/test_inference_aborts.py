"""The client ends a call when it is cancelled, and at each of its time limits."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import trustme

from tests import wire
from tests.provider_calls import failure, gateway, infer
from tests.wire import Exchange, serving
from workers.inference import (
    Billing,
    Cancel,
    Cancelled,
    ConnectionFailed,
    DeadlineReached,
    Gateway,
    InferenceError,
    InferenceResult,
    ProviderTimeout,
    sockets,
)

PATIENCE_S = 20.0
"""The time that a test waits. `make bench` measures the time that an abort takes."""

ENDLESS_S = 600.0
"""A time limit of the client's own that cannot be what ended a call within a test's patience."""

BEGUN = wire.sse(*wire.events("Hel", "lo")[:7])


def hang_in_the_middle(exchange: Exchange) -> None:
    if exchange.body.get("stream"):
        exchange.start_stream()
        exchange.chunk(BEGUN)
    else:
        exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{")
    exchange.hang()


def hang_after_the_last_event(exchange: Exchange) -> None:
    exchange.start_stream()
    exchange.chunk(wire.sse(*wire.events("Hel", "lo")))
    exchange.hang()


def in_thread(call: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - the future carries it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("reused", [True, False], ids=["reused", "new"])
@pytest.mark.parametrize("hang", [Exchange.hang, hang_in_the_middle])
def test_an_abort_ends_a_blocked_call(
    secure: tuple[Any, Any], hang: wire.Script, *, reused: bool, stream: bool
) -> None:
    theirs, ours = secure
    scripts = [wire.answer, hang] if reused else [hang]
    with (
        serving(*scripts, wire.answer, tls=theirs) as server,
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
        serving(Exchange.hang) as server,
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
    with serving(wire.answer) as server, gateway(server) as door:
        with pytest.raises(Cancelled) as caught:
            infer(door, cancel)
        assert caught.value.billing is Billing.NONE
    assert server.connections == 0


def test_a_cancel_after_the_end_leaves_the_connection_to_the_next_call() -> None:
    with serving(wire.answer) as server, gateway(server) as door:
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
        serving(wire.answer) as server,
        gateway(server) as door,
        ThreadPoolExecutor(8) as threads,
    ):
        texts = list(threads.map(lambda n: one(door, n), range(100)))
    assert texts == ["Hello"] * 100


def test_an_answer_that_was_complete_before_the_cancel_is_returned() -> None:
    cancel = Cancel()
    with serving(hang_after_the_last_event) as server, gateway(server) as door:
        # The rest of the answer came in the same piece, so nothing is missing any more.
        result = infer(door, cancel, on_delta=cancel.cancel)
    assert cancel.reason == "Hel"
    assert result.text == "Hello"


def test_a_finished_stream_that_stays_open_does_not_hold_the_answer_back() -> None:
    with (
        serving(hang_after_the_last_event) as server,
        gateway(server, idle_timeout_s=ENDLESS_S) as door,
    ):
        call = in_thread(lambda: infer(door, deadline_s=ENDLESS_S))
        assert call.result(timeout=PATIENCE_S).text == "Hello"


def test_closing_the_client_ends_calls_in_flight() -> None:
    with serving(Exchange.hang) as server:
        with gateway(server) as door:
            call = in_thread(lambda: infer(door))
            assert server.waiting.acquire(timeout=PATIENCE_S)
        error = call.exception(timeout=PATIENCE_S)
    assert isinstance(error, ConnectionFailed)
    assert error.billing is Billing.UNSEEN


@pytest.fixture
def unconnectable() -> Iterator[str]:
    """The address of a listener that lets no further connection come about."""
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def connecting(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a call makes its last check for an abort before it waits to be connected."""
    waits, poll = threading.Event(), sockets._poll

    def note(*args: Any) -> bool:
        waits.set()
        return poll(*args)

    monkeypatch.setattr(sockets, "_poll", note)
    return waits


def test_an_abort_while_connecting(connecting: threading.Event, unconnectable: str) -> None:
    with gateway(unconnectable, connect_timeout_s=ENDLESS_S) as door:
        cancel = Cancel()
        call = in_thread(lambda: infer(door, cancel, deadline_s=ENDLESS_S))
        assert connecting.wait(PATIENCE_S)
        cancel.cancel("switch")
        error = call.exception(timeout=PATIENCE_S)
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
        exchange.chunk(BEGUN)
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
    with serving(Exchange.hang) as server, gateway(server) as door:
        error = failure(door, deadline_s=0.2, stream=stream)
    assert isinstance(error, DeadlineReached)
    assert not error.retryable


@pytest.mark.parametrize("hang", [Exchange.hang, hang_in_the_middle])
@pytest.mark.parametrize("stream", [True, False])
def test_a_provider_that_falls_silent_is_a_provider_timeout(
    hang: wire.Script, *, stream: bool
) -> None:
    with serving(hang) as server, gateway(server, idle_timeout_s=0.2) as door:
        error = failure(door, stream=stream)
    assert isinstance(error, ProviderTimeout)
    assert error.provider_failure


@pytest.mark.parametrize(
    ("connect_timeout_s", "deadline_s", "kind"),
    [(20.0, 0.2, DeadlineReached), (0.2, 30.0, ProviderTimeout)],
)
def test_a_connection_that_never_comes_about_is_unbilled(
    unconnectable: str, connect_timeout_s: float, deadline_s: float, kind: type[InferenceError]
) -> None:
    with gateway(unconnectable, connect_timeout_s=connect_timeout_s) as door:
        error = failure(door, deadline_s=deadline_s)
    assert isinstance(error, kind)
    assert error.billing is Billing.NONE
