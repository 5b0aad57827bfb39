"""Reads the streams for all readers of one event loop, over one Redis connection.

One XREAD lists every stream with readers, and the hub's own wake stream. An entry there ends a
blocking read when the list of streams changes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import Any, Final
from uuid import UUID, uuid4
from weakref import WeakKeyDictionary

import redis.asyncio
from django.conf import settings
from redis.exceptions import RedisError, ResponseError

from aifeature.services.stores import redis_clients
from aifeature.services.streams import entries
from aifeature.services.streams.live_text import LiveText

logger = logging.getLogger(__name__)

BLOCK_MS: Final = 1_000
TIMEOUT_S: Final = 2.0
"""Seconds without an answer until Redis counts as unavailable. Longer than a blocking read."""

PACE_S: Final = 0.015
"""Seconds between reads. Entries written meanwhile arrive together, at a tenth of the cost."""

PAUSE_S: Final = 0.5
"""Seconds until the next attempt while Redis is unavailable."""

BATCH: Final = 1_000
"""Most entries of one stream in one read."""

WAKE_TTL_S: Final = 60

Found = Sequence[tuple[bytes, Mapping[bytes, bytes]]]
"""Ids and fields of the new entries of one stream."""


class Hub:
    """The running texts that have readers in this event loop."""

    def __init__(self, url: str) -> None:
        """`url` is that of Redis. Connects only while there are readers."""
        self.reachable = True
        """False while Redis is unavailable."""
        self._url = url
        self._texts: dict[bytes, LiveText] = {}
        self._wake_key = f"aif:wake:{uuid4()}".encode()
        self._wake_id = b"0"
        self._blocked = False
        self._waking: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._client: redis.asyncio.Redis | None = None

    @contextmanager
    def reading(self, job: UUID, epoch: int, wake: Callable[[], None]) -> Iterator[LiveText]:
        """Yield the text of this epoch and keep it up to date while the block runs.

        `wake` is called after each change of the text and of `reachable`.
        """
        name = entries.key(job, epoch).encode()
        live = self._texts.get(name)
        if live is None:
            live = self._texts[name] = LiveText(epoch)
            self._list_changed()
        live.readers.add(wake)
        try:
            yield live
        finally:
            live.readers.discard(wake)
            if not live.readers and self._texts.get(name) is live:
                del self._texts[name]
                if not self._texts:
                    self._list_changed()

    def watched(self) -> int:
        """Return the number of streams with readers."""
        return len(self._texts)

    def _list_changed(self) -> None:
        if self._task is None:
            if self._texts:
                # A new context, so that it does not inherit that of the first request.
                self._task = asyncio.create_task(self._run(), context=Context())
        elif self._blocked and self._waking is None:
            self._waking = asyncio.create_task(self._interrupt(), context=Context())

    async def _interrupt(self) -> None:
        """End the blocking read, so that the next one includes the new streams."""
        try:
            if self._client is not None:
                pipeline = self._client.pipeline(transaction=False)
                pipeline.xadd(self._wake_key, {"w": ""}, maxlen=1, approximate=False)
                pipeline.expire(self._wake_key, WAKE_TTL_S)
                with suppress(RedisError, OSError):  # then the read ends after BLOCK_MS
                    await pipeline.execute()
        finally:
            self._waking = None

    async def _run(self) -> None:
        self._client = redis_clients.connect_async(TIMEOUT_S)
        try:
            while self._texts:
                await self._read_once(self._client)
        finally:
            client, self._client, self._task = self._client, None, None
            self._set_reachable(True)
            try:
                await self._close(client)
            except asyncio.CancelledError:  # the event loop ends
                await self._close(client)
                raise

    async def _close(self, client: redis.asyncio.Redis) -> None:
        if self._waking is not None:
            self._waking.cancel()
            # It must release its connection before the client closes all of them.
            await asyncio.gather(self._waking, return_exceptions=True)
        await client.aclose()

    async def _read_once(self, client: redis.asyncio.Redis) -> None:
        streams = dict(self._texts)
        names: dict[Any, Any] = {name: live.last_id for name, live in streams.items()}
        names[self._wake_key] = self._wake_id
        self._blocked = True
        try:
            # Do not block while a new reader waits for its first read.
            block = BLOCK_MS if all(live.primed for live in streams.values()) else None
            answer: Any = await client.xread(names, count=BATCH, block=block)
        except (RedisError, OSError) as error:
            self._blocked = False
            if self.reachable:
                logger.warning("streams: no live text, Redis does not answer: %r", error)
            self._set_reachable(False)
            if isinstance(error, ResponseError):  # such as a replica: reconnect to the new primary
                await client.connection_pool.disconnect(inuse_connections=False)
            await asyncio.sleep(PAUSE_S)
            return
        self._blocked = False
        self._set_reachable(True)
        self._share(streams, dict(answer or ()))
        await asyncio.sleep(PACE_S)

    def _share(self, streams: Mapping[bytes, LiveText], answer: Mapping[bytes, Found]) -> None:
        if wakes := answer.get(self._wake_key):
            self._wake_id = wakes[-1][0]
        for name, live in streams.items():
            found = answer.get(name, ())
            for entry_id, fields in found:
                live.last_id = entry_id
                with suppress(ValueError):  # of another release: the stored result will follow
                    live.take(entries.read(fields))
            if found or not live.primed:
                live.primed = live.primed or len(found) < BATCH
                live.notify()

    def _set_reachable(self, reachable: bool) -> None:  # noqa: FBT001 (a property's form)
        if reachable == self.reachable:
            return
        self.reachable = reachable
        if reachable:
            logger.info("streams: Redis answers again")
        for live in tuple(self._texts.values()):
            live.notify()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """Return the hub of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _hubs.get(loop)
    if found is None:
        found = _hubs[loop] = Hub(settings.REDIS_URL)
    return found
