"""The hub closes its connections to Redis, even if its event loop ends."""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from aifeature.services.stores import redis_clients
from aifeature.services.streams.hub import Hub, hub
from tests.integration.event_loop import until

if TYPE_CHECKING:
    import redis.asyncio


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[redis.asyncio.Redis]:
    """The clients that the hub makes."""
    connect, made = redis_clients.connect_async, list["redis.asyncio.Redis"]()

    def connect_and_keep(timeout_s: float) -> redis.asyncio.Redis:
        made.append(connect(timeout_s))
        return made[-1]

    monkeypatch.setattr(redis_clients, "connect_async", connect_and_keep)
    return made


def open_connections(client: redis.asyncio.Redis) -> int:
    pool = client.connection_pool
    connections = chain(pool._available_connections, pool._in_use_connections)
    return sum(connection.is_connected for connection in connections)


async def read_until_blocked(found: Hub) -> None:
    with found.reading(uuid4(), 1, lambda: None) as live:
        await until(lambda: live.primed and found._blocked, pause_s=0)


@pytest.mark.parametrize("steps", range(4))
def test_a_loop_that_ends_leaves_no_connection(
    clients: list[redis.asyncio.Redis], monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr("aifeature.services.streams.hub.PACE_S", 0)

    async def scene() -> None:
        found = hub()
        await read_until_blocked(found)
        assert open_connections(clients[0])
        await until(lambda: found._client is None, pause_s=0)
        for _ in range(steps):
            await asyncio.sleep(0)

    asyncio.run(scene())
    assert [open_connections(client) for client in clients] == [0]


def test_an_ended_hub_does_not_start_again(clients: list[redis.asyncio.Redis]) -> None:
    async def scene() -> None:
        found = hub()
        with found.reading(uuid4(), 1, lambda: None):
            await asyncio.sleep(0)
            assert found._task is not None
            found._task.cancel()
            await asyncio.gather(found._task, return_exceptions=True)
        assert found._task is None

    asyncio.run(scene())
    assert [open_connections(client) for client in clients] == [0]
