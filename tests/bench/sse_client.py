"""`python -m tests.bench.sse_client`: readers of event streams, in a process of their own.

Reads one JSON object from stdin (see `Workload`). Prints `reading` when every stream has sent its
first event, and at the end a JSON list with the result of each reader. Events are parsed last: on a
small machine that would slow down the measured server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

OPENING = 50
"""Connections that are opened at the same time."""

FIRST_EVENT = b"\n\n"
END = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Workload:
    host: str
    port: int
    streams: Sequence[tuple[str, str]]
    """Path and API token of each."""
    limit_s: float


class Reader(asyncio.Protocol):
    """One reader: keeps the bytes and the time of each piece."""

    def __init__(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._request = request
        self._transport: asyncio.BaseTransport | None = None
        self.data = bytearray()
        self.arrivals: list[tuple[int, float]] = []
        """Number of bytes so far, and the time in seconds since the epoch."""
        self.begun = loop.create_future()
        self.ended = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]  # a TCP transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.arrivals.append((len(self.data), time.time()))
        if not self.begun.done() and b"event: status" in self.data and FIRST_EVENT in self.data:
            self.begun.set_result(None)
        if self.data.endswith(END) and self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.begun, self.ended):
            if not future.done():
                future.set_result(None)


def events(reader: Reader) -> Iterator[tuple[float, dict[str, str]]]:
    """Yield the time at which each event was complete, and its fields."""
    _, _, body = bytes(reader.data).partition(b"\r\n\r\n")
    at = len(reader.data) - len(body)
    arrivals = iter(reader.arrivals)
    seen, moment = next(arrivals, (0, 0.0))
    text = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size or b"0", 16)
        text += body[:length]
        body = body[length + 2 :]
        at += len(size) + 2 + length + 2
        while seen < at and (following := next(arrivals, None)):
            seen, moment = following
        *whole, text = text.split(b"\n\n")
        for event in whole:
            lines = (line.partition(": ") for line in event.decode().split("\n"))
            yield moment, {name: value for name, _, value in lines if name}


def result_of(reader: Reader) -> dict[str, object]:
    """Return (offset, time) of each piece of text, the text, and the last event of a reader."""
    text, last, pieces = "", "", []
    for moment, event in events(reader):
        last = event.get("event", last)
        if last in {"delta", "reset"} and "data" in event:
            piece = json.loads(event["data"])["text"]
            text = text + piece if last == "delta" else piece
            pieces.append((int(event["id"].partition("-")[2]), moment))
    return {"pieces": pieces, "text": text, "last": last}


async def _read(workload: Workload) -> list[Reader]:
    loop = asyncio.get_running_loop()
    gate = asyncio.Semaphore(OPENING)

    async def open_one(path: str, token: str) -> Reader:
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {workload.host}:{workload.port}\r\n"
            f"Authorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
        ).encode()
        async with gate:
            _, reader = await loop.create_connection(
                lambda: Reader(request), workload.host, workload.port
            )
            await reader.begun
        return reader

    async with asyncio.timeout(workload.limit_s):
        readers = await asyncio.gather(*(open_one(*stream) for stream in workload.streams))
        sys.stdout.write("reading\n")
        sys.stdout.flush()
        await asyncio.gather(*(reader.ended for reader in readers))
    return list(readers)


def main() -> None:
    readers = asyncio.run(_read(Workload(**json.load(sys.stdin))))
    json.dump([result_of(reader) for reader in readers], sys.stdout)


if __name__ == "__main__":
    main()
