"""Reads a response body within limits: decompressed, as server-sent events.

What a provider sends is untrusted. A body, an event and a decompressed piece have a largest size,
so that no answer takes the memory of a process, and its end is not waited for.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, Literal

PIECE: Final = 65_536
"""Most bytes that are decompressed at once."""

ERROR_BYTES: Final = 65_536
"""Most bytes that are read of the body of an error status; the rest is not needed."""

_BASE_BYTES: Final = 1_048_576
_BYTES_PER_TOKEN: Final = 128
_STREAM_BYTES_PER_TOKEN: Final = 2_048
"""An event can bring a single token."""

ACCEPT_ENCODING: Final = "gzip"
"""Not `deflate`: some servers send it with a header and some without, and it saves no more."""

_GZIP: Final = frozenset({ACCEPT_ENCODING, "x-gzip"})
"""The names of what is asked for."""

_GZIP_WBITS: Final = 31
"""What zlib calls a gzip header and the largest window."""


Form = Literal["events", "message", "neither", "unknown"]
"""What a body is by its beginning; `unknown`: it ended before that shows."""

_EVENTS_BEGIN: Final = (b"event:", b"data:", b"id:", b"retry:", b":", b"\xef\xbb\xbf")
"""How a body of server-sent events can begin."""


class TooLargeError(ValueError):
    """An answer, or one event of it, is larger than its request allows."""


class EncodingError(ValueError):
    """A body is not compressed in the way its header names, or in a way that was not asked for."""


def answer_limit(max_tokens: int) -> int:
    """Return the most bytes of an unstreamed answer, of one event, and of an answer's text."""
    return _BASE_BYTES + _BYTES_PER_TOKEN * max_tokens


def stream_limit(max_tokens: int) -> int:
    """Return the most bytes of a streamed answer. It is counted and never held in memory."""
    return _BASE_BYTES + _STREAM_BYTES_PER_TOKEN * max_tokens


def opened(chunks: Iterable[bytes]) -> tuple[Form, Iterator[bytes]]:
    """Tell what a body is, however it is cut, and pass it on, without the space before it."""
    rest = iter(chunks)
    begun = b""
    while (form := _form(begun)) == "unknown":
        piece = next(rest, None)
        if piece is None:
            break
        begun = (begun + piece).lstrip()
    return form, chain([begun], rest)


def _form(begun: bytes) -> Form:
    if begun.startswith(b"{"):
        return "message"
    if begun.startswith(_EVENTS_BEGIN):
        return "events"
    undecided = any(mark.startswith(begun) for mark in _EVENTS_BEGIN)
    return "unknown" if undecided else "neither"


def within(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Pass the chunks on.

    Raises:
        TooLargeError: They are more than `limit` bytes.
    """
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise TooLargeError(f"more than {limit} bytes")
        yield chunk


def decompressed(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Undo a content encoding, in pieces of at most `PIECE` bytes.

    Raises:
        EncodingError: It is another encoding, or none.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        yield from chunks
        return
    if name not in _GZIP:
        raise EncodingError("an encoding that was not asked for")
    decoder = zlib.decompressobj(_GZIP_WBITS)
    try:
        for chunk in chunks:
            rest = chunk
            while rest and not decoder.eof:
                yield decoder.decompress(rest, PIECE)
                rest = decoder.unconsumed_tail
        if not decoder.eof:
            raise EncodingError("compressed data without an end")
    except zlib.error:
        raise EncodingError("not compressed as its header names") from None


def events(chunks: Iterable[bytes], *, limit: int) -> Iterator[tuple[str, str]]:
    """Yield name and data of each server-sent event; the name is empty where none was sent.

    An event that its end does not follow is dropped, as the standard says.

    Raises:
        TooLargeError: An event is larger than `limit` bytes.
        UnicodeDecodeError: It is not UTF-8.
    """
    name, data, size = "", list[str](), 0
    for line in _lines(chunks, limit):
        if not line:
            if name or data:
                yield name, "\n".join(data)
            name, data, size = "", [], 0
            continue
        size += len(line)
        if size > limit:
            raise TooLargeError(f"an event of more than {limit} bytes")
        field, _, value = line.decode().partition(":")
        if field == "event":
            name = value.removeprefix(" ")
        elif field == "data":
            data.append(value.removeprefix(" "))


def _lines(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Yield lines without their end, which is a line feed, a carriage return, or both."""
    begun = bytearray()
    after_return = False
    first = True
    for chunk in chunks:
        found = chunk[1:] if after_return and chunk.startswith(b"\n") else chunk
        if not found:
            after_return = after_return and not chunk
            continue
        after_return = found.endswith(b"\r")
        if b"\n" in found or b"\r" in found:
            lines = (bytes(begun) + found).splitlines(keepends=True)
            begun.clear()
            if not lines[-1].endswith((b"\n", b"\r")):
                begun += lines.pop()
            for line in lines:
                yield line.rstrip(b"\r\n").removeprefix(b"\xef\xbb\xbf" if first else b"")
                first = False
        else:
            begun += found
        if len(begun) > limit:
            raise TooLargeError(f"a line of more than {limit} bytes")
