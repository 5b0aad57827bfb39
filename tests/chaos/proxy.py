"""A TCP proxy that simulates network faults.

with Proxy(target=("127.0.0.1", 6379)) as proxy:
    client = connect("127.0.0.1", proxy.port)
    proxy.set(Mode.FREEZE)

The target may be a TCP address or the path of a unix socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from tests.chaos import packets

Target = tuple[str, int] | Path
HOST: Final = "127.0.0.1"
CALL_S: Final = 30.0
"""Time limit of a change of mode; far above what it needs."""

_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Closes connections whose peer is gone, after packets were dropped."""


def target_of(url: str) -> tuple[str, int]:
    """Return the host and port of a URL of Redis or of an HTTP server."""
    parts = urlsplit(url)
    return parts.hostname or HOST, parts.port or 6379


class Mode(StrEnum):
    PASS = "pass"

    REFUSE = "refuse"
    """New connections are reset; open ones continue."""

    CUT = "cut"
    """Open and new connections are reset."""

    FREEZE = "freeze"
    """Connections are accepted and stay open; nothing is forwarded. The kernel still acknowledges
    the peer's bytes, as for a stopped process."""

    DROP = "drop"
    """Packets get lost without a reset (`packets`). No new connection is accepted."""


HELD: Final = frozenset({Mode.FREEZE, Mode.DROP})
RESET: Final = frozenset({Mode.REFUSE, Mode.CUT})


class Proxy:
    """One listening port and its connections, in a thread of its own."""

    def __init__(self, *, target: Target, port: int = 0) -> None:
        """Bind. Forwarding starts when the context is entered."""
        self._target = target
        self._listener = socket.create_server((HOST, port), backlog=512)
        self.port: Final[int] = self._listener.getsockname()[1]
        self.mode = Mode.PASS
        self._links: set[_Link] = set()
        self._count = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(CALL_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(CALL_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_S)
        self._loop.close()

    def set(self, mode: Mode) -> None:
        """Change the mode of all connections."""
        self._call(lambda: self._set(mode))

    def cut(self) -> None:
        """Reset open connections. The mode stays."""
        self._call(self._reset)

    @property
    def open(self) -> int:
        """Number of open connections."""
        return len(self._links)

    @property
    def accepted(self) -> int:
        """Number of connections accepted so far."""
        self._call(lambda: None)  # the loop first accepts those that wait
        return self._count

    def _call(self, change: Callable[[], None]) -> None:
        async def made() -> None:
            change()

        asyncio.run_coroutine_threadsafe(made(), self._loop).result(CALL_S)

    async def _serve(self) -> None:
        self._server = await self._loop.create_server(self._accept, sock=self._listener)

    def _accept(self) -> _Side:
        self._count += 1
        return _Link(self._target, self.mode, self._links).near

    def _set(self, mode: Mode) -> None:
        if mode is Mode.DROP:
            packets.drop(self._listener)
        elif self.mode is Mode.DROP:
            packets.take(self._listener)
        self.mode = mode
        for link in tuple(self._links):
            link.set(mode)
        if mode is Mode.CUT:
            self._reset()

    def _reset(self) -> None:
        for link in tuple(self._links):
            link.reset()

    async def _end(self) -> None:
        """Close everything: a transport of a closed loop warns when it is freed."""
        self._loop.remove_reader(self._listener.fileno())  # or it drops what it accepted
        while (tasks := asyncio.all_tasks() - {asyncio.current_task()}) or self._links:
            self._reset()  # ends connects; accepts must finish first
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)
        self._server.close()
        await asyncio.sleep(0)  # the last aborted transports close in the next turn


class _Link:
    """A client's connection and ours to the target."""

    def __init__(self, target: Target, mode: Mode, links: set[_Link]) -> None:
        self._target = target
        self._mode = mode
        self._links = links
        self.near = _Side(self)
        self.far = _Side(self)
        self._connecting: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        return self._mode in HELD

    def set(self, mode: Mode) -> None:
        self._mode = mode
        self._connect()
        for side in (self.near, self.far):
            side.set(dropping=mode is Mode.DROP)

    def made(self, side: _Side) -> None:
        if side is self.near:
            self._links.add(self)
            if self._mode in RESET:
                self.reset()
                return
            self._connect()
        self.near.set(dropping=self._mode is Mode.DROP)
        self.far.set(dropping=self._mode is Mode.DROP)

    def other(self, side: _Side) -> _Side:
        return self.far if side is self.near else self.near

    def lost(self, side: _Side, error: Exception | None) -> None:
        """Close the other side in the same way."""
        self._links.discard(self)
        if error is not None or self.far.transport is None:
            self.reset()
        else:
            self.other(side).close()

    def reset(self) -> None:
        self._links.discard(self)
        if self._connecting is not None:
            self._connecting.cancel()
        for side in (self.near, self.far):
            side.reset()

    def _connect(self) -> None:
        if self._connecting is None and not self.held:
            self._connecting = asyncio.create_task(self._reach_target())

    async def _reach_target(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            if isinstance(self._target, Path):
                await loop.create_unix_connection(lambda: self.far, str(self._target))
            else:
                await loop.create_connection(lambda: self.far, *self._target)
        except OSError:
            self.reset()


class _Side(asyncio.Protocol):
    """One of the two connections of a link."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self.transport: Any = None  # a TCP or unix transport; asyncio has types for neither
        self._full = False
        self._reading = True
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE.items():
                if hasattr(socket, name):
                    sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._link.made(self)

    def data_received(self, data: bytes) -> None:
        self._link.other(self).transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        other = self._link.other(self)
        if other._ended:
            other.close()
            return False
        if other.transport is not None:
            with contextlib.suppress(OSError):  # it is gone too
                other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        self._full = True
        self._link.other(self).update_reading()

    def resume_writing(self) -> None:
        self._full = False
        self._link.other(self).update_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.lost(self, exc)

    def set(self, *, dropping: bool) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        sock = self.transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            (packets.drop if dropping else packets.take)(sock)
        self.update_reading()

    def update_reading(self) -> None:
        """Read only while the other side can take it."""
        if self.transport is None or self.transport.is_closing():
            return
        other = self._link.other(self)
        wanted = other.transport is not None and not other._full and not self._link.held
        if wanted != self._reading:
            self._reading = wanted
            (self.transport.resume_reading if wanted else self.transport.pause_reading)()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Close with a reset, without sending the rest."""
        if self.transport is None or self.transport.is_closing():
            return
        sock = self.transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            packets.take(sock)  # otherwise closing waits for acknowledgements
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self.transport.abort()
