"""The web worker's server in a thread, with an application that answers at a signal of the test."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from uvicorn.config import Config

from deploy.web_worker import DrainingServer

BOUND_S = 30.0
CLOSE = b"connection: close"


@dataclass
class EndingServer:
    """A running server. `let_go` releases the answer of `/wait` and the end of `/stream`."""

    graceful_s: int
    app: Any = None
    """An application in place of the one in this module."""

    notified: int = 0
    _go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.server = DrainingServer(
            Config(
                self.app or self._answer,
                http="h11",
                interface="asgi3",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=self.graceful_s,
                timeout_notify=3600,
                callback_notify=self._notify,
            )
        )
        self.server.age = 1  # the first worker

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in the block, or until `end`."""
        with ExitStack() as self._sockets:
            listener = self._sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
            self._address = listener.getsockname()
            self.thread = threading.Thread(
                target=lambda: asyncio.run(self.server.serve(sockets=[listener]))
            )
            self.thread.start()
            try:
                wait_until(lambda: self.server.started)
                yield
            finally:
                self._go.set()
                self.server.should_exit = self.server.force_exit = True
                self.thread.join(BOUND_S)

    def connection(self, *, bound_s: float = BOUND_S) -> Connection:
        """Return a connection that the server accepted. Fail if it takes longer than the bound."""
        known = len(self.server.server_state.connections)
        made = socket.create_connection(self._address, BOUND_S)
        self._sockets.enter_context(made)
        wait_until(lambda: len(self.server.server_state.connections) > known, bound_s=bound_s)
        return Connection(made)

    def end(self) -> None:
        """Begin the end, and wait until it has begun."""
        self._end_began = time.monotonic()
        self.server.should_exit = True
        close = (b"connection", b"close")
        wait_until(lambda: close in self.server.server_state.default_headers)

    def tick(self) -> None:
        """Wait for the server's next periodic work."""
        headers = self.server.server_state.default_headers
        wait_until(lambda: self.server.server_state.default_headers is not headers)

    def let_go(self) -> None:
        """Answer the waiting requests."""
        self._go.set()

    def ended_after(self) -> float:
        """Wait for the end. Return the seconds since `end`."""
        self.thread.join(BOUND_S)
        assert not self.thread.is_alive(), "the server does not end"
        return time.monotonic() - self._end_began

    async def _notify(self) -> None:
        self.notified += 1

    async def _gone(self) -> None:
        while not self._go.is_set():  # noqa: ASYNC110 (set by another thread)
            await asyncio.sleep(0.01)

    async def _answer(self, scope: Any, _: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            await self._gone()
        headers = [(b"content-length", b"2")] if scope["path"] != "/stream" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"so", "more_body": True})
            await self._gone()
        await send({"type": "http.response.body", "body": b"ok"})


@dataclass
class Connection:
    """The client's side of a connection."""

    socket: socket.socket

    def send(self, path: str) -> None:
        """Send a request."""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def read(self, end: bytes = b"ok") -> bytes:
        """Return the data until `end`, or until the connection ends, in small letters."""
        found = b""
        while not found.endswith(end) and (piece := self.socket.recv(4096)):
            found += piece
        return found.lower()

    def is_ended(self) -> bool:
        """Wait for the end. Return whether it was clean, without more data."""
        return self.socket.recv(1) == b""


def wait_until(condition: Callable[[], object], *, bound_s: float = BOUND_S) -> None:
    """Wait for another thread."""
    until = time.monotonic() + bound_s
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)
