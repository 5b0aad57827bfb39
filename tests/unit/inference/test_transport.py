"""The transport by itself: one connection, one call after the other."""

from __future__ import annotations

import select
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.wire import Exchange, WireServer, serving
from workers.inference.transport import AbortableTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

BOUND_S = 30
"""Far above what anything here takes."""


@pytest.fixture
def server() -> Iterator[WireServer]:
    with serving(lambda exchange: exchange.reply(exchange.body)) as server:
        yield server


@pytest.fixture
def transport() -> Iterator[AbortableTransport]:
    transport = AbortableTransport()
    yield transport
    transport.close()


def ask(transport: AbortableTransport, server: WireServer, what: str) -> str:
    client = httpx2.Client(transport=transport, trust_env=False, timeout=BOUND_S)
    return str(client.post(server.url, json={"say": what}).json()["say"])


def test_an_abort_behind_the_body_leaves_the_connection_alone(
    transport: AbortableTransport, server: WireServer
) -> None:
    """The pool may have given it to another thread already."""
    with transport.call(BOUND_S) as call:
        assert ask(transport, server, "one") == "one"
        call.abort()
    with transport.call(BOUND_S):
        assert ask(transport, server, "two") == "two"
    assert server.connections == 1


def test_an_abort_behind_the_call_leaves_the_connection_alone(
    transport: AbortableTransport, server: WireServer
) -> None:
    with transport.call(BOUND_S) as call:
        ask(transport, server, "one")
    call.abort()
    assert ask(transport, server, "two") == "two"
    assert server.connections == 1


def test_a_call_notes_what_went_out_and_what_came_in(
    transport: AbortableTransport, server: WireServer
) -> None:
    with transport.call(BOUND_S) as call:
        assert (call.sent, call.received) == (False, False)
        ask(transport, server, "one")
        assert (call.sent, call.received) == (True, True)


def test_a_connection_the_server_closed_is_not_used_again(transport: AbortableTransport) -> None:
    def script(exchange: Exchange) -> None:
        exchange.reply(exchange.body)
        exchange.close()

    with serving(script) as server:
        for what in ("one", "two", "three"):
            with transport.call(BOUND_S) as call:
                assert ask(transport, server, what) == what
            assert (call.sent, call.received) == (True, True)
            wait_for_the_end(transport)
        assert server.connections == 3


def test_all_connections_the_server_closed_are_passed_over(transport: AbortableTransport) -> None:
    arrived = threading.Barrier(5)

    def script(exchange: Exchange) -> None:
        if exchange.body["say"] == "first":
            arrived.wait(BOUND_S)  # so that each has a connection of its own
        exchange.reply(exchange.body)
        exchange.close()

    with serving(script) as server, ThreadPoolExecutor(5) as threads:
        list(threads.map(lambda _: ask(transport, server, "first"), range(5)))
        wait_for_the_end(transport)
        assert ask(transport, server, "second") == "second"
        assert server.connections == 6
        assert len(transport._pool.connections) == 1


def wait_for_the_end(transport: AbortableTransport) -> None:
    """The server's end of a connection may need a moment to arrive."""
    for idle in transport._pool.connections:
        stream = idle._connection._network_stream  # type: ignore[attr-defined]
        poll = select.poll()
        poll.register(stream.get_extra_info("socket"), select.POLLIN)
        assert poll.poll(BOUND_S * 1_000)


def test_more_calls_than_idle_connections_do_not_wait_for_a_slot(server: WireServer) -> None:
    transport = AbortableTransport(idle_connections=1)
    client = httpx2.Client(transport=transport, trust_env=False, timeout=BOUND_S)
    with (
        client.stream("POST", server.url, json={"say": "1"}) as first,
        client.stream("POST", server.url, json={"say": "2"}) as second,
    ):
        assert first.read() == b'{"say": "1"}'
        assert second.read() == b'{"say": "2"}'
    assert server.connections == 2
    assert len(transport._pool.connections) == 1
    transport.close()
