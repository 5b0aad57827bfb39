"""Reads from Redis for all readers of one event loop, over one connection.

One XREAD names every stream that somebody looks at. A stream of the hub's own is among them: an
entry there ends the wait when that list changes.
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
"""Without an answer for this long, Redis counts as away. More than it may keep us waiting."""

PACE_S: Final = 0.015
"""Seconds between two reads: what comes in between arrives together, at a tenth of the cost."""

PAUSE_S: Final = 0.5
"""Seconds between two tries while Redis is away."""

BATCH: Final = 1_000
"""Most entries of one stream in one answer."""

WAKE_TTL_S: Final = 60

Found = Sequence[tuple[bytes, Mapping[bytes, bytes]]]
"""Entries of one Redis stream: id and fields."""


class Hub:
    """The running texts that are looked at in this event loop."""

    def __init__(self, url: str) -> None:
        """Prepare; nothing is connected while nobody reads.

        Args:
            url: Of Redis.
        """
        self.reachable = True
        """False while Redis is away."""
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
        """The text of this epoch, kept up to date while the block runs.

        Args:
            job: Whose text.
            epoch: Of which run.
            wake: Called after each change of the text, and when Redis goes or comes back.
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
        """How many streams are looked at."""
        return len(self._texts)

    def _list_changed(self) -> None:
        if self._task is None:
            # In a context of its own, not in that of the request that happens to be first.
            self._task = asyncio.create_task(self._run(), context=Context())
        elif self._blocked and self._waking is None:
            self._waking = asyncio.create_task(self._interrupt(), context=Context())

    async def _interrupt(self) -> None:
        """End the wait of the read that does not know the new list yet."""
        try:
            if self._client is not None:
                pipeline = self._client.pipeline(transaction=False)
                pipeline.xadd(self._wake_key, {"w": ""}, maxlen=1, approximate=False)
                pipeline.expire(self._wake_key, WAKE_TTL_S)
                with suppress(RedisError, OSError):  # then the wait ends by itself
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
            if self._waking is not None:
                self._waking.cancel()
                # It must have let go of its connection before the client closes them all.
                await asyncio.gather(self._waking, return_exceptions=True)
            self._set_reachable(True)
            await client.aclose()

    async def _read_once(self, client: redis.asyncio.Redis) -> None:
        asked = dict(self._texts)
        names: dict[Any, Any] = {name: live.last_id for name, live in asked.items()}
        names[self._wake_key] = self._wake_id
        self._blocked = True
        try:
            # Who has just come must not wait for news of the others.
            block = BLOCK_MS if all(live.primed for live in asked.values()) else None
            answer: Any = await client.xread(names, count=BATCH, block=block)
        except (RedisError, OSError) as error:
            self._blocked = False
            if self.reachable:
                logger.warning("streams: Redis does not answer, no live text: %r", error)
            self._set_reachable(False)
            if isinstance(error, ResponseError):  # a replica, say: the address may lead elsewhere
                await client.connection_pool.disconnect(inuse_connections=False)
            await asyncio.sleep(PAUSE_S)
            return
        self._blocked = False
        self._set_reachable(True)
        self._share(asked, dict(answer or ()))
        await asyncio.sleep(PACE_S)

    def _share(self, asked: Mapping[bytes, LiveText], answer: Mapping[bytes, Found]) -> None:
        if wakes := answer.get(self._wake_key):
            self._wake_id = wakes[-1][0]
        for name, live in asked.items():
            found = answer.get(name, ())
            for entry_id, fields in found:
                live.last_id = entry_id
                with suppress(ValueError):  # of another release: the end brings it
                    live.take(entries.read(fields))
            if found or not live.primed:
                live.primed = live.primed or len(found) < BATCH
                live.tell()

    def _set_reachable(self, reachable: bool) -> None:  # noqa: FBT001 (a property's form)
        if reachable == self.reachable:
            return
        self.reachable = reachable
        if reachable:
            logger.info("streams: Redis answers again")
        for live in tuple(self._texts.values()):
            live.tell()


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub() -> Hub:
    """The hub of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _hubs.get(loop)
    if found is None:
        found = _hubs[loop] = Hub(settings.REDIS_URL)
    return found
