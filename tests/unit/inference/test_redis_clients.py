"""No Redis client repeats a command: the caller decides, and a retry would double its wait."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
import redis

from workers.inference import redis_clients


@pytest.fixture
def accepted() -> Iterator[tuple[str, list[None]]]:
    """The address of a server that closes each connection, and one entry for each."""
    connections: list[None] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close_each() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connections.append(None)
                connection.close()

        thread = threading.Thread(target=close_each)
        thread.start()
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0", connections
        with contextlib.suppress(OSError):  # macOS refuses it, and `close` is enough there
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def test_a_client_tries_once(accepted: tuple[str, list[None]]) -> None:
    url, connections = accepted
    with (
        redis_clients.connect(url, timeout_s=60, options={}) as client,
        pytest.raises(redis.ConnectionError),
    ):
        client.ping()
    assert len(connections) == 1


def test_a_client_of_an_event_loop_tries_once(accepted: tuple[str, list[None]]) -> None:
    url, connections = accepted

    async def ping() -> None:
        async with redis_clients.connect_async(url, timeout_s=60, options={}) as client:
            with pytest.raises(redis.ConnectionError):
                await client.ping()

    asyncio.run(ping())
    assert len(connections) == 1
