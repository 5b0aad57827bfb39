"""A door in front of Redis that a test shuts and opens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from tests.integration.streams.web_server import port as free_port
from tests.redis_address import through

HOST = "127.0.0.1"


class Gate:
    """Forwards connections to Redis; shut, it breaks them and refuses new ones."""

    def __init__(self, url: str, port: int) -> None:
        self._behind = urlsplit(url)
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = port

    @property
    def url(self) -> str:
        return through(self._behind.geturl(), host=HOST, port=self.port)

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def shut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._open):
            writer.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        assert self._server is not None
        if not self._server.is_serving():  # shut meanwhile
            back.close()
            writer.close()
            return
        for pair in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._copy(*pair))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        self._open.add(target)
        try:
            with suppress(OSError):
                while data := await source.read(65536):
                    target.write(data)
                    await target.drain()
        finally:
            self._open.discard(target)
            target.close()


@asynccontextmanager
async def gate(url: str) -> AsyncIterator[Gate]:
    with free_port() as port:  # also while it is shut
        found = Gate(url, port)
        await found.open()
        try:
            yield found
        finally:
            await found.shut()
