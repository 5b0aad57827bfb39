"""A web process closes idle connections."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from deploy import web_worker


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's and the client's side of one TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=20)
        server, _ = listener.accept()
    with server, client:
        yield server, client


def close(server: socket.socket) -> None:
    transport = SimpleNamespace(get_extra_info=lambda _: server)
    web_worker._close_if_silent(SimpleNamespace(transport=transport))


def test_an_idle_connection_is_closed_immediately(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    server, client = ends
    close(server)
    assert client.recv(1) == b"", "a clean end, no reset"


def test_a_request_that_has_just_arrived_can_be_answered(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    server, client = ends
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert server.recv(3, socket.MSG_PEEK) == b"GET"
    close(server)
    server.sendall(b"HTTP/1.1 200 OK\r\n")
    assert client.recv(8) == b"HTTP/1.1"
