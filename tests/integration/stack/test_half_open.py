"""Connections with an incomplete request are closed, and delay no other connection."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.importer import import_from_string

from deploy.web_protocol import LAST_LOOK_S, PunctualProtocol
from deploy.web_worker import WebWorker

BOUND_S = 20.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Hasty(PunctualProtocol):
    head_s = 0.3


LONG_S = 2 * Hasty.head_s + LAST_LOOK_S
"""Longer than the time limit of a head."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    await receive()
    if scope["path"] == "/slow":
        await asyncio.sleep(LONG_S)
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def served(server: uvicorn.Server | None = None) -> AsyncIterator[int]:
    server = server or uvicorn.Server(uvicorn.Config(app, http=Hasty, lifespan="off"))
    server.config.port = 0
    task = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 (uvicorn sets no event)
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


def test_the_web_server_uses_the_protocol() -> None:
    assert import_from_string(WebWorker.CONFIG_KWARGS["http"]) is PunctualProtocol


async def exchange(port: int, *parts: bytes) -> list[bytes]:
    """Send the parts and wait until the server closes. Return the statuses of its answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return re.findall(rb"HTTP/1.1 (\d+)", await reader.read())
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("parts", "answers"),
    [
        ((), [b"408"]),
        ((b"GET / HT",), [b"408"]),
        ((GET + b"GET / HT",), [b"200", b"408"]),
        ((GET, b"GET / HT"), [b"200", b"408"]),
    ],
    ids=["nothing", "half a line", "behind a request", "after a request"],
)
def test_half_a_head_is_answered_and_closed(parts: tuple[bytes, ...], answers: list[bytes]) -> None:
    async def scene() -> list[bytes]:
        async with served() as port, asyncio.timeout(BOUND_S):
            return await exchange(port, *parts)

    assert asyncio.run(scene()) == answers


def test_a_head_that_arrives_byte_by_byte_gets_no_more_time() -> None:
    async def scene() -> None:
        async with served() as port, asyncio.timeout(BOUND_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            answer = asyncio.create_task(reader.readuntil(b"\r\n"))
            writer.write(b"GET / HTTP/1.1\r\nx: ")
            while not answer.done():
                writer.write(b"y")
                await asyncio.wait([answer], timeout=Hasty.head_s / 4)
            assert b" 408 " in answer.result()
            writer.close()

    asyncio.run(scene())


def test_a_process_that_stood_still_reads_the_data_that_arrived_meanwhile() -> None:
    """After a standstill the timer may run before the loop reads the connection."""

    async def scene() -> None:
        server = uvicorn.Server(uvicorn.Config(app, http=PunctualProtocol, lifespan="off"))
        async with served(server) as port, asyncio.timeout(BOUND_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while not server.server_state.connections:  # noqa: ASYNC110 (uvicorn sets no event)
                await asyncio.sleep(0.01)
            (connection,) = server.server_state.connections
            assert isinstance(connection, PunctualProtocol)
            connection.deadline_is_over()
            writer.write(GET)
            assert b" 200 " in await reader.readuntil(b"ok")
            writer.close()

    asyncio.run(scene())


def test_a_slow_answer_is_not_cut_off() -> None:
    async def scene() -> None:
        async with served() as port, asyncio.timeout(BOUND_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET.replace(b"/ ", b"/slow ", 1))
            assert b" 200 " in await reader.readuntil(b"ok")
            writer.close()

    asyncio.run(scene())


def test_half_a_head_after_an_answer_is_closed() -> None:
    async def scene() -> None:
        async with served() as port, asyncio.timeout(BOUND_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET)
            assert b" 200 " in await reader.readuntil(b"ok")
            writer.write(b"GET / HT")
            assert b" 408 " in await reader.read()
            writer.close()

    asyncio.run(scene())


def test_a_kept_connection_is_not_closed() -> None:
    async def scene() -> None:
        async with served() as port, asyncio.timeout(BOUND_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(3):
                writer.write(GET)
                head = await reader.readuntil(b"ok")
                assert b" 200 " in head
                await asyncio.sleep(LONG_S)
            writer.close()

    asyncio.run(scene())
