"""Run the application on uvicorn, with two additions.

A fault plan can drop a TCP connection, and a stop does not wait for open streams.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from workers.sandbox.wire import ABORT_KEY

if TYPE_CHECKING:
    import asyncio

    from starlette.applications import Starlette


class AbortableProtocol(H11Protocol):
    """Gives each request a function that drops its connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, ABORT_KEY: transport.abort}


class SandboxServer(uvicorn.Server):
    """Ends the running calls when it stops."""

    def __init__(self, app: Starlette, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._sandbox = app.state.sandbox

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening and cut the open connections."""
        self._sandbox.stop()
        await super().shutdown(sockets)


def build_server(app: Starlette, **options: Any) -> SandboxServer:
    """Return a server for `serve(sockets=[...])`; the options are uvicorn's."""
    config = uvicorn.Config(
        app,
        http=AbortableProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="error",
        timeout_graceful_shutdown=1,
        # The value of load balancers. It is longer than that of clients: otherwise the server
        # sometimes closes a connection while a request is on its way.
        timeout_keep_alive=60,
        **options,
    )
    return SandboxServer(app, config)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 chooses a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's delay (40 ms a call) only for a socket with a named protocol.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    sock.listen(2048)
    return sock
