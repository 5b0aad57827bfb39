"""The simulated readers of streams parse the bytes that they receive."""

from __future__ import annotations

import asyncio

from tests.bench.sse_client import Reader, result_of

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunk(text: str) -> bytes:
    data = text.encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def _reader(*pieces: tuple[bytes, float]) -> Reader:
    reader = Reader(b"")
    for data, moment in pieces:
        reader.data += data
        reader.arrivals.append((len(reader.data), moment))
    return reader


def test_each_event_has_the_time_at_which_its_last_byte_came() -> None:
    first = _chunk('event: delta\nid: 1-2\ndata: {"text": "ab"}\n\n')
    second = _chunk('event: delta\nid: 1-3\ndata: {"text": "c"}\n\n')
    end = _chunk("event: result\ndata: {}\n\n") + b"0\r\n\r\n"

    reader = asyncio.run(
        _reader((HEAD + first[:9], 1.0), (first[9:] + second[:4], 2.0), (second[4:] + end, 3.0))
    )

    assert result_of(reader) == {"pieces": [(2, 2.0), (3, 3.0)], "text": "abc", "last": "result"}


def test_a_reset_replaces_the_text() -> None:
    delta = _chunk('event: delta\nid: 1-2\ndata: {"text": "ab"}\n\n')
    reset = _chunk('event: reset\nid: 2-1\ndata: {"text": "x"}\n\n')

    reader = asyncio.run(_reader((HEAD + delta + reset, 1.0)))

    assert result_of(reader)["text"] == "x"
