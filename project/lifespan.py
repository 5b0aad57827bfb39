"""Handles the stop signal of a web process early, so that open streams can end.

A server sends an application its shutdown message after the last request has ended, but a stream
does not end by itself. So at start this wraps the server's handlers of SIGTERM and SIGINT.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from aifeature.api import stopping
from aifeature.services.alarms import releases
from aifeature.services.controls import global_cap
from aifeature.services.promotion import gate_check
from project import boot

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


class Lifespan:
    """An ASGI application that handles the start and the end of its server."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer the lifespan protocol, and pass all other scopes on."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        global_cap.announce_soon()
        boot.warn_soon(gate_check.at_boot)
        boot.warn_soon(releases.at_boot)
        with end_waits_on_signal(asyncio.get_running_loop()):
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})


@contextmanager
def end_waits_on_signal(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Within the block, a stop signal also ends all waits of this loop (`stopping.begin`)."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.begin, loop)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    ours = [number for number, handler in before.items() if callable(handler)]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            if signal.getsignal(number) is stop:
                signal.signal(number, before[number])
