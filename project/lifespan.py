"""Learns that the process is asked to stop while there is still time to say so to its clients.

A server tells an application only once its last request has ended, and a stream does not end by
itself. So at start the server's own handlers of SIGTERM and SIGINT get company.
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
from aifeature.services.controls import global_cap

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]


class Lifespan:
    """An ASGI application that knows of its server's start and end, around one that does not."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer the lifespan protocol, pass on everything else."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        global_cap.announce_soon()
        with noticing(asyncio.get_running_loop()):
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})


@contextmanager
def noticing(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Have what waits in this loop end when a signal asks the process to stop."""
    if threading.current_thread() is not threading.main_thread():
        yield  # a server in a thread hears no signals either
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
