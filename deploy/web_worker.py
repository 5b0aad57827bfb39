# ruff: noqa: INP001 (a folder of settings, not a package)
"""The gunicorn worker: uvicorn, whose end nobody notices.

Gunicorn's main process loads this file once and for all, so it imports nothing of ours there:
what it has loaded, HUP does not load anew.
"""

from __future__ import annotations

import asyncio
import mmap
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Any, ClassVar, Final

from gunicorn.arbiter import Arbiter
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

SUCCESSOR_S: Final = 25.0
"""How long a worker goes on serving while those that replace it start."""

DRAIN_S: Final = 1.5
"""How long requests on open connections are still taken when new ones go to others. Longer than
the second after which a stream's client comes back, on the same connection perhaps."""

CLOSE_S: Final = 3.0
"""What is left of the graceful time-out for closing, when a successor serves and the drain may
last: clients that keep connections hang up themselves, most of them after five seconds."""

HANG_UP_S: Final = 1.0
"""How long requests are still read that came in the last moment."""

_ACCEPTED_S: Final = 0.05
_LOOK_S: Final = 0.05
_CLOSE: Final = (b"connection", b"close")


class Generations:
    """Who replaces whom, in memory that the main process shares with its workers."""

    _AGES: Final = struct.Struct("qq")

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, self._AGES.size)

    def replaced(self, newest_age: int) -> None:
        """A reload begins: workers up to this age are to be replaced."""
        self._AGES.pack_into(self._shared, 0, newest_age, self._read()[1])

    def ready(self, age: int) -> None:
        """The worker of this age serves."""
        self._AGES.pack_into(self._shared, 0, self._read()[0], age)

    def waits(self, age: int) -> bool:
        """Whether a worker of this age is being replaced by one that does not serve yet."""
        replaced, ready = self._read()
        return age <= replaced and ready <= replaced

    def replaces(self, age: int) -> bool:
        """Whether a worker of this age is being replaced, or was."""
        return age <= self._read()[0]

    def _read(self) -> tuple[int, int]:
        replaced, ready = self._AGES.unpack_from(self._shared, 0)
        return replaced, ready


generations: Final = Generations()


class PatientServer(Server):
    """Stops in three steps: a successor serves, no new connections, no more requests.

    Uvicorn by itself closes idle connections the moment it is asked to stop. A request may be on
    its way on one of them just then, and its sender would see the connection break.
    """

    age = 0
    _told_to_exit: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and let the predecessors go."""
        await super().startup(sockets)
        generations.ready(self.age)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop now."""
        if not await super().on_tick(counter):
            return False
        if self._told_to_exit is None:
            self._told_to_exit = time.monotonic()
        waited = time.monotonic() - self._told_to_exit
        return waited > SUCCESSOR_S or not generations.waits(self.age)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Leave new connections to others, answer what is under way, then end."""
        from aifeature.api import stopping  # noqa: PLC0415 (only a worker may load it)

        loop = asyncio.get_running_loop()
        for listener in sockets or ():
            # Not closed yet: asyncio drops what it has accepted and not set up when that happens.
            loop.remove_reader(listener.fileno())
        await asyncio.sleep(_ACCEPTED_S)
        # From here on each answer tells its client to connect anew.
        self.server_state.default_headers.append(_CLOSE)
        stopping.begin(loop)
        until = loop.time() + self._drain_s()
        while self.server_state.connections and loop.time() < until:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(_LOOK_S)
        until = loop.time() + HANG_UP_S
        while (idle := self._idle()) and loop.time() < until:
            for connection in idle:
                _hang_up_unless_asked(connection)
            await asyncio.sleep(_LOOK_S)
        await super().shutdown(sockets)

    def _idle(self) -> list[Any]:
        """Connections without a request under way."""
        connections: set[Any] = set(self.server_state.connections)
        return [each for each in connections if each.cycle is None or each.cycle.response_complete]

    def _drain_s(self) -> float:
        if not generations.replaces(self.age):
            return DRAIN_S
        return max(DRAIN_S, (self.config.timeout_graceful_shutdown or 0) - CLOSE_S)


def _hang_up_unless_asked(connection: Any) -> None:
    """End an idle connection this very moment, unless a request has just come by it.

    Uvicorn's way closes it an iteration of the loop later, with all that has arrived by then. What
    is there already is read by the loop and answered.
    """
    peer = connection.transport.get_extra_info("socket")
    poll = select.poll()
    poll.register(peer.fileno(), select.POLLIN)
    if not poll.poll(0):
        with suppress(OSError):  # it has hung up itself
            peer.shutdown(socket.SHUT_RDWR)


class WebWorker(UvicornWorker):
    """One web process."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # it has no annotation there
        "loop": "auto",
        "http": "h11",  # `_idle` knows what this one has under way
        "ws": "none",
        "lifespan": "off",  # the server itself says when it stops
        "access_log": False,
        "server_header": False,
    }

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        self.config.timeout_graceful_shutdown = self.cfg.graceful_timeout
        server = PatientServer(config=self.config)
        server.age = self.age
        self._install_sigquit_handler()
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
