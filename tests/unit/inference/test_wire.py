"""The bare provider that tests drive: what its clients break off does no harm to other tests."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from tests.wire import serving

HEAD = b"POST /v1/messages HTTP/1.1\r\ncontent-length: 9\r\n"


@pytest.mark.parametrize(
    "sent", [b"POST /v1", HEAD, HEAD + b"content-type: app", HEAD + b"\r\n", HEAD + b'\r\n{"a"']
)
def test_a_request_that_is_broken_off_is_no_request_and_no_error(sent: bytes) -> None:
    """An aborted call may have sent any part of it. A thread's warning would fail another test."""
    with serving(lambda exchange: exchange.reply({})) as server:
        client = socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=30)
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        client.close()
    assert server.requests == []
