# ruff: noqa: INP001 (a folder of settings, not a package)
"""The gunicorn worker: uvicorn, whose end nobody notices.

Gunicorn's main process loads this file once and for all, so it imports nothing of ours there:
what it has loaded, HUP does not load anew.
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
"""How long a worker goes on serving while those that replace it start."""

CLOSE_S: Final = 3.0
"""What a request that comes in the last moment of the lingering has for its answer."""

LINGER_S: Final = 1.5
"""The least that connections without a request are kept open for. Longer than the second after
which a stream's client comes back, on the same connection perhaps."""

SWITCH_S: Final = 0.0005
"""How long a thread may keep the interpreter from others. By default it is ten times as long, and
a request changes threads about ten times: it waited for all others at each."""

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
        """Whether a worker of this age has been replaced by one that serves."""
        replaced, ready = self._read()
        return age <= replaced < ready

    def _read(self) -> tuple[int, int]:
        replaced, ready = self._AGES.unpack_from(self._shared, 0)
        return replaced, ready


generations: Final = Generations()


class PatientServer(Server):
    """Ends in three steps: others serve, its connections end, it ends.

    HTTP/1.1 knows no word for "send nothing more on this connection" but the `Connection: close`
    of an answer. Who sends a request on an idle connection while it is being closed sees it break.
    So each answer says so from the first moment, and connections without a request linger: their
    clients use them, and are told, or give them up themselves. Whoever keeps idle connections for
    less than `linger_s` never sees one break. nginx has `keepalive_min_timeout` for the same
    end and Envoy a drain time; uvicorn by itself closes idle connections at once.
    """

    age = 0
    _told_to_exit: float | None = None
    _listeners: Sequence[socket.socket] = ()

    @property
    def linger_s(self) -> float:
        """For how long a connection without a request stays open at the end, in seconds."""
        return max(LINGER_S, self._graceful_s - CLOSE_S)

    @property
    def _graceful_s(self) -> float:
        return self.config.timeout_graceful_shutdown or 0

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
        """Answer what comes by the open connections, and if need be by new ones, then end."""
        from aifeature.api import stopping  # noqa: PLC0415 (only a worker may load it)

        loop = asyncio.get_running_loop()
        self._listeners = list(sockets or ())
        if generations.replaces(self.age):
            self._leave_new_connections(loop)
        self._say_close()
        stopping.begin(loop)
        until = loop.time() + max(self._graceful_s, self.linger_s)
        await asyncio.sleep(_ACCEPTED_S)
        await self._linger(loop, until)
        self._leave_new_connections(loop)
        await asyncio.sleep(_ACCEPTED_S)
        # Uvicorn waits once more for what is under way: for what is left of the same time.
        self.config.timeout_graceful_shutdown = max(1, math.ceil(until - loop.time()))
        await super().shutdown(sockets)

    def _leave_new_connections(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take no more of them. Those who replace this process do, or nobody any longer.

        The listeners are not closed yet: asyncio would drop what it has accepted and not set up.
        """
        for listener in self._listeners:
            loop.remove_reader(listener.fileno())
        self._listeners = []

    def _say_close(self) -> None:
        """From here on each answer tells its client to connect anew."""
        self.server_state.default_headers.append(_CLOSE)
        for connection in self._connections():
            if connection.cycle is not None:
                # It took the headers of its first moment, and may be answered after all others.
                connection.cycle.default_headers = self.server_state.default_headers

    async def _linger(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        """Wait until all connections are closed, by their answers, by their clients, or by us.

        A process that nobody replaces goes on taking new ones meanwhile: the kernel would let
        them wait for an answer that never comes, and no load balancer would look elsewhere.
        """
        accepts_until = loop.time() + self.linger_s
        idle_since: dict[Any, float] = {}
        while (connections := self._connections()) and loop.time() < until and not self.force_exit:
            now = loop.time()
            if now >= accepts_until:
                self._leave_new_connections(loop)
            idle_since = {each: idle_since.get(each, now) for each in connections if _is_idle(each)}
            for connection, since in idle_since.items():
                if now - since >= self.linger_s:
                    _hang_up_unless_asked(connection)
            if self.config.callback_notify is not None:  # nobody else says that we live
                await self.config.callback_notify()
            await asyncio.sleep(_LOOK_S)

    def _connections(self) -> list[Any]:
        return list(self.server_state.connections)


def _is_idle(connection: Any) -> bool:
    """Whether no request is under way on it."""
    return connection.cycle is None or bool(connection.cycle.response_complete)


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
        # By its name, so that each worker loads it anew. `_is_idle` knows what h11's has under way.
        "http": "deploy.web_protocol:PunctualProtocol",
        "proxy_headers": False,  # project/forwarded.py reads them
        "ws": "none",
        # A request that comes behind another on its connection must not inherit what that one set.
        "reset_contextvars": True,
        "lifespan": "off",  # the server itself says when it stops
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
        from django.conf import settings  # noqa: PLC0415 (only a worker may load these)
        from django.db import connection  # noqa: PLC0415

        from aifeature.services.controls import global_cap  # noqa: PLC0415
        from project import boot, log_flood  # noqa: PLC0415

        logging.getLogger("uvicorn.error").addFilter(log_flood.ServerFilter())
        if not boot.is_fit(boot.web()):
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        sys.setswitchinterval(SWITCH_S)
        connection.limit_statements(settings.AIFEATURE["STATEMENT_TIMEOUT_S"])  # type: ignore[attr-defined]  # no stub
        self.config.app = self.wsgi
        self.config.timeout_graceful_shutdown = self.cfg.graceful_timeout
        server = PatientServer(config=self.config)
        server.age = self.age
        self._install_sigquit_handler()
        global_cap.announce_soon()
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
