"""A TCP proxy whose network can be made bad at any time.

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

from tests.chaos import packets

Target = tuple[str, int] | Path
HOST: Final = "127.0.0.1"
CALL_S: Final = 30.0
"""How long a change of mode may take; far above what it needs."""

_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""So that connections whose peer gave up while packets were dropped go away afterwards."""


class Mode(StrEnum):
    """What happens to the connections."""

    PASS = "pass"
    """All is well."""

    REFUSE = "refuse"
    """New connections are reset; those that are open go on."""

    CUT = "cut"
    """What is open is reset, and so is what comes."""

    FREEZE = "freeze"
    """Connections are accepted and stay open, and nothing is forwarded. The peer's bytes are
    still acknowledged, as by a process that was stopped."""

    DROP = "drop"
    """Packets get lost on the way, without a reset: `packets`. Nobody gets a connection."""


HELD: Final = frozenset({Mode.FREEZE, Mode.DROP})
RESET: Final = frozenset({Mode.REFUSE, Mode.CUT})


class Proxy:
    """One listening port and what runs through it. Its loop has a thread of its own."""

    def __init__(self, *, target: Target, port: int = 0) -> None:
        """Bind; nothing is forwarded before the context is entered.

        Args:
            target: Where connections lead.
            port: 0 picks a free one.
        """
        self._target = target
        self._listener = socket.create_server((HOST, port), backlog=512)
        self.port: Final[int] = self._listener.getsockname()[1]
        self.mode = Mode.PASS
        self._links: set[_Link] = set()
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
        """Change the mode; when this returns, it is in force for every connection."""
        self._call(lambda: self._set(mode))

    def cut(self) -> None:
        """Reset what is open, in whatever mode, and go on in it."""
        self._call(self._reset)

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._links)

    def _call(self, change: Callable[[], None]) -> None:
        async def made() -> None:
            change()

        asyncio.run_coroutine_threadsafe(made(), self._loop).result(CALL_S)

    async def _serve(self) -> None:
        self._server = await self._loop.create_server(self._accepted, sock=self._listener)

    def _accepted(self) -> _Side:
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
        """Leave nothing open or under way: a transport of a closed loop warns when it is freed."""
        self._loop.remove_reader(self._listener.fileno())  # closed, it would drop what it accepted
        while (tasks := asyncio.all_tasks() - {asyncio.current_task()}) or self._links:
            self._reset()  # ends those that connect; those that accept have to hand it over
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)
        self._server.close()
        await asyncio.sleep(0)  # what was aborted last is closed in the loop's next turn


class _Link:
    """One client's connection and ours to the target."""

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
        """A side has its connection."""
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
        """A side's connection is gone: so is the other's, in the same way."""
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
        self.transport: Any = None  # a TCP or unix transport; asyncio's types know neither
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
        self._link.other(self).look()

    def resume_writing(self) -> None:
        self._full = False
        self._link.other(self).look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.lost(self, exc)

    def set(self, *, dropping: bool) -> None:
        """Hold or let go, as the link's mode says."""
        if self.transport is None or self.transport.is_closing():
            return
        sock = self.transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            (packets.drop if dropping else packets.take)(sock)
        self.look()

    def look(self) -> None:
        """Read only what can be passed on."""
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
        """Close with a reset, and throw away what was not sent."""
        if self.transport is None or self.transport.is_closing():
            return
        sock = self.transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            packets.take(sock)  # or else closing would wait for acknowledgements
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self.transport.abort()
