# ruff: noqa: INP001 (a folder of settings, not a package)
"""The gunicorn worker: uvicorn, which ends without losing a request.

Gunicorn's main process loads this file once, and HUP does not reload it. So it imports no other
code of the project there. docs/decisions/web-reload.md explains why a standard restart is not
enough.
"""

from __future__ import annotations

import asyncio
import logging
import math
import mmap
import select
import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final

from gunicorn.arbiter import Arbiter
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

SUCCESSOR_S: Final = 25.0
"""Seconds that a worker continues to serve while its successors start."""

CLOSE_S: Final = 3.0
"""Seconds that a request in the last moment of the draining has for its answer."""

LEAST_DRAIN_S: Final = 1.5
"""Minimum seconds that connections without a request stay open. A stream's client comes back after
a second, perhaps on the same connection."""

SWITCH_S: Final = 0.0005
"""Seconds that a thread may keep the interpreter. The default is ten times as long. A request
changes threads about ten times and would wait for all other threads each time."""

_ACCEPTED_S: Final = 0.05
"""Seconds in which asyncio sets up the connections that it has accepted."""

_INTERVAL_S: Final = 0.05
_CLOSE: Final = (b"connection", b"close")


class Generations:
    """The order of replacement, in memory that the main process shares with its workers.

    gunicorn numbers its workers: a worker with a higher age is newer.
    """

    _AGES: Final = struct.Struct("qq")

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, self._AGES.size)

    def replaced(self, newest_age: int) -> None:
        """Record the begin of a reload: workers up to this age are replaced."""
        self._AGES.pack_into(self._shared, 0, newest_age, self._read()[1])

    def ready(self, age: int) -> None:
        """Record that the worker of this age serves."""
        self._AGES.pack_into(self._shared, 0, self._read()[0], age)

    def waits(self, age: int) -> bool:
        """Return whether the successors of a worker of this age do not serve yet."""
        replaced, ready = self._read()
        return age <= replaced and ready <= replaced

    def replaces(self, age: int) -> bool:
        """Return whether a successor of a worker of this age serves."""
        replaced, ready = self._read()
        return age <= replaced < ready

    def _read(self) -> tuple[int, int]:
        replaced, ready = self._AGES.unpack_from(self._shared, 0)
        return replaced, ready


generations: Final = Generations()


class DrainingServer(Server):
    """A server that ends in three steps: its successors serve, its connections end, it ends.

    In HTTP/1.1 a server cannot detect whether a request is on its way on an idle connection. If the
    server closes the connection at that moment, the request is lost. The only warning is the header
    `Connection: close` of an answer. So from the first moment each answer contains this header, and
    idle connections stay open for `drain_s`: their clients use them once more, or close them. A
    client that closes idle connections earlier than that loses no request. nginx has
    `keepalive_min_timeout` for the same purpose, and Envoy a drain time. Uvicorn itself closes idle
    connections immediately.
    """

    age = 0
    _exit_begun: float | None = None
    _listeners: Sequence[socket.socket] = ()

    @property
    def drain_s(self) -> float:
        """Seconds that a connection without a request stays open at the end."""
        return max(LEAST_DRAIN_S, self._graceful_s - CLOSE_S)

    @property
    def _graceful_s(self) -> float:
        return self.config.timeout_graceful_shutdown or 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, and release the predecessors."""
        await super().startup(sockets)
        generations.ready(self.age)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop now."""
        if not await super().on_tick(counter):
            return False
        if self._exit_begun is None:
            self._exit_begun = time.monotonic()
        waited = time.monotonic() - self._exit_begun
        return waited > SUCCESSOR_S or not generations.waits(self.age)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer requests on open connections, on new ones if no successor serves, and end."""
        from aifeature.api import stopping  # noqa: PLC0415 (only a worker may import it)

        loop = asyncio.get_running_loop()
        self._listeners = list(sockets or ())
        if generations.replaces(self.age):
            self._stop_accepting(loop)
        self._add_close_header()
        stopping.begin(loop)
        until = loop.time() + max(self._graceful_s, self.drain_s)
        await asyncio.sleep(_ACCEPTED_S)
        await self._drain(loop, until)
        self._stop_accepting(loop)
        await asyncio.sleep(_ACCEPTED_S)
        # Uvicorn waits for the running requests during the rest of the time.
        self.config.timeout_graceful_shutdown = max(1, math.ceil(until - loop.time()))
        await super().shutdown(sockets)

    def _stop_accepting(self, loop: asyncio.AbstractEventLoop) -> None:
        """Accept no more connections.

        The listeners stay open: asyncio would drop connections that it accepted and not yet set up.
        """
        for listener in self._listeners:
            loop.remove_reader(listener.fileno())
        self._listeners = []

    def _add_close_header(self) -> None:
        """Add `Connection: close` to each answer from now on."""
        self.server_state.default_headers.append(_CLOSE)
        for connection in self._connections():
            if connection.cycle is not None:
                # A running request has a copy of the earlier headers.
                connection.cycle.default_headers = self.server_state.default_headers

    async def _drain(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        """Wait until all connections are closed: by an answer, by the client, or by the server.

        A process without a successor accepts new connections meanwhile. Otherwise the kernel would
        accept them, and their requests would never get an answer.
        """
        accepts_until = loop.time() + self.drain_s
        idle_since: dict[Any, float] = {}
        while (connections := self._connections()) and loop.time() < until and not self.force_exit:
            now = loop.time()
            if now >= accepts_until:
                self._stop_accepting(loop)
            idle_since = {each: idle_since.get(each, now) for each in connections if _is_idle(each)}
            for connection, since in idle_since.items():
                if now - since >= self.drain_s:
                    _close_if_silent(connection)
            if self.config.callback_notify is not None:  # gunicorn kills a silent worker
                await self.config.callback_notify()
            await asyncio.sleep(_INTERVAL_S)

    def _connections(self) -> list[Any]:
        return list(self.server_state.connections)


def _is_idle(connection: Any) -> bool:
    """Return whether no request is in flight on the connection."""
    return connection.cycle is None or bool(connection.cycle.response_complete)


def _close_if_silent(connection: Any) -> None:
    """Close an idle connection immediately, unless a request has just arrived.

    Uvicorn closes it one iteration of the loop later, and drops a request that arrived by then.
    Here the loop reads and answers such a request.
    """
    peer = connection.transport.get_extra_info("socket")
    poll = select.poll()
    poll.register(peer.fileno(), select.POLLIN)
    if not poll.poll(0):
        with suppress(OSError):  # the client has closed it
            peer.shutdown(socket.SHUT_RDWR)


class WebWorker(UvicornWorker):
    """One web process."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # it has no annotation there
        "loop": "auto",
        # By name, so that a worker loads it after HUP too. `_is_idle` reads h11's attributes.
        "http": "deploy.web_protocol:PunctualProtocol",
        "proxy_headers": False,  # project/forwarded.py reads them
        "ws": "none",
        # A request does not inherit context variables of an earlier one on its connection.
        "reset_contextvars": True,
        "lifespan": "off",  # `DrainingServer` notifies the application when it stops
        "access_log": False,
        "server_header": False,
    }

    def load_wsgi(self) -> None:
        """Load the application, or end the whole service if its environment is wrong.

        Gunicorn would start such a worker again and again.
        """
        try:
            super().load_wsgi()  # type: ignore[no-untyped-call]  # it has no annotation there
        except SystemExit as error:
            self.log.critical("%s", error)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def _serve(self) -> None:
        from django.conf import settings  # noqa: PLC0415 (only a worker may import these)
        from django.db import connection  # noqa: PLC0415

        from aifeature.services.controls import global_cap  # noqa: PLC0415
        from aifeature.services.promotion import gate_check  # noqa: PLC0415
        from project import boot, log_flood  # noqa: PLC0415

        logging.getLogger("uvicorn.error").addFilter(log_flood.ServerFilter())
        if not boot.is_fit(boot.web()):
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        sys.setswitchinterval(SWITCH_S)
        connection.limit_statements(settings.AIFEATURE["STATEMENT_TIMEOUT_S"])  # type: ignore[attr-defined]  # no stub
        self.config.app = self.wsgi
        self.config.timeout_graceful_shutdown = self.cfg.graceful_timeout
        server = DrainingServer(config=self.config)
        server.age = self.age
        self._install_sigquit_handler()
        global_cap.announce_soon()
        boot.warn_soon(gate_check.at_boot)
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
