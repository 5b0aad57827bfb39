"""A provider made of a bare socket, so that a test controls every byte and every pause."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

Script = Callable[["Exchange"], None]
"""Answers one request. The connection stays open for the next one unless the script closes it."""

USAGE = {
    "input_tokens": 11,
    "output_tokens": 1,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 3,
}


def message(
    *texts: str, stop_reason: str | None = "end_turn", usage: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return an answer of the Messages API."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5-20261001",
        "content": [{"type": "text", "text": text} for text in texts],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {**USAGE, "output_tokens": 9, **(usage or {})},
    }


def events(*texts: str, stop_reason: str | None = "end_turn") -> list[tuple[str, Any]]:
    """Return the events of a streamed answer as pairs of name and data."""
    start = {**message(stop_reason=None), "usage": USAGE}
    return [
        ("message_start", {"type": "message_start", "message": start}),
        ("content_block_start", {"index": 0, "content_block": {"type": "thinking"}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "thinking_delta", "thinking": "h"}}),
        ("content_block_stop", {"index": 0}),
        ("content_block_start", {"index": 1, "content_block": {"type": "text", "text": ""}}),
        ("ping", {"type": "ping"}),
        *(
            ("content_block_delta", {"index": 1, "delta": {"type": "text_delta", "text": text}})
            for text in texts
        ),
        ("content_block_stop", {"index": 1}),
        (
            "message_delta",
            {"delta": {"stop_reason": stop_reason}, "usage": {"output_tokens": 9}},
        ),
        ("message_stop", {"type": "message_stop"}),
    ]


def answer(exchange: Exchange) -> None:
    """Answer "Hello", streamed in two pieces or whole, as the request wants it."""
    if exchange.body.get("stream"):
        exchange.stream(*events("Hel", "lo"))
    else:
        exchange.reply(message("Hello"), headers={"request-id": "req_1"})


def sse(*some: tuple[str, Any]) -> bytes:
    """Return the bytes of events. A string is sent unchanged as data, other values as JSON."""
    return b"".join(
        f"event: {name}\ndata: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()
        for name, data in some
    )


@dataclass
class Exchange:
    """One request and the means to answer it."""

    connection: int
    """Number of the server's connection, counted from 0."""
    headers: dict[str, str]
    body: dict[str, Any]
    _socket: socket.socket
    _server: WireServer

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def reply(
        self, body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole response. Bytes are sent unchanged, other values as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send(_head(status, {"content-length": str(len(data)), **(headers or {})}) + data)

    def start_stream(self, headers: Mapping[str, str] | None = None) -> None:
        stream = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        self.send(_head(200, {"request-id": "req_1", **stream, **(headers or {})}))

    def chunk(self, data: bytes) -> None:
        """Send a piece of a stream. An empty piece ends it."""
        self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def stream(self, *some: tuple[str, Any]) -> None:
        """Send a whole streamed response."""
        self.start_stream()
        self.chunk(sse(*some))
        self.chunk(b"")

    def hang(self) -> None:
        """Send nothing until the client closes the connection or the server stops."""
        self._server.waiting.release()
        with contextlib.suppress(OSError):
            while self._socket.recv(1024):
                pass
        raise ConnectionResetError

    def close(self) -> None:
        raise ConnectionResetError


class WireServer:
    """Listens on loopback and answers every request with `script`."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.requests: list[Exchange] = []
        self.connections = 0
        self.waiting = threading.Semaphore(0)
        """Released once by each script that hangs."""
        self._tls = tls
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{port}"
        self._start(self._accept)

    def stop(self) -> None:
        for sock in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for sock in [self._listener, *self._open]:
            sock.close()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._open.append(sock)
                self.connections += 1  # before the answer, since the client may read it then
                self._start(self._serve, sock, self.connections - 1)

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, EOFError):
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with sock, sock.makefile("rb") as lines:
                while True:
                    exchange = _read_request(lines, sock, number, self)
                    self.requests.append(exchange)
                    self.script(exchange)


@dataclass
class Scripts:
    """One script per request, in order. The last one serves all later requests."""

    scripts: list[Script]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, exchange: Exchange) -> None:
        with self._lock:
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        script(exchange)


@contextlib.contextmanager
def serving(*scripts: Script, tls: ssl.SSLContext | None = None) -> Iterator[WireServer]:
    """Run a server that answers with these scripts, one after the other."""
    server = WireServer(Scripts(list(scripts)), tls=tls)
    try:
        yield server
    finally:
        server.stop()


def _read_request(lines: Any, sock: socket.socket, number: int, server: WireServer) -> Exchange:
    """Return the next request.

    Raises:
        EOFError: there is none, or the client closed the connection before the end.
    """
    headers: dict[str, str] = {}
    _whole_line(lines)
    while line := _whole_line(lines).strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    size = int(headers.get("content-length", 0))
    data = lines.read(size)
    if len(data) < size:
        raise EOFError
    return Exchange(number, headers, json.loads(data), sock, server)


def _whole_line(lines: Any) -> bytes:
    line: bytes = lines.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return line


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
