"""Size-limited reading of a response body: decompression and server-sent events.

Responses are untrusted. Bodies, events and decompressed pieces are limited in size, so that no
answer uses up a process's memory. Reading stops at the limit.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, Literal

PIECE: Final = 65_536
"""Most bytes that one decompression step returns."""

ERROR_BYTES: Final = 65_536
"""Size limit of the body of an error response."""

_BASE_BYTES: Final = 1_048_576
_BYTES_PER_TOKEN: Final = 128
_STREAM_BYTES_PER_TOKEN: Final = 2_048
"""More than for a whole answer, because an event may contain a single token."""

ACCEPT_ENCODING: Final = "gzip"
"""Not `deflate`: some servers send it with a header, others without, and it saves no more."""

_GZIP: Final = frozenset({ACCEPT_ENCODING, "x-gzip"})
_GZIP_WBITS: Final = 31
"""zlib's value for a gzip header with the largest window."""


Form = Literal["events", "message", "neither", "unknown"]
"""Kind of a body, detected from its first bytes. `unknown`: it ended too early."""

_EVENTS_BEGIN: Final = (b"event:", b"data:", b"id:", b"retry:", b":", b"\xef\xbb\xbf")
"""First bytes of a body of server-sent events."""


class TooLargeError(ValueError):
    """An answer, or one of its events, is larger than its request allows."""


class EncodingError(ValueError):
    """A body has an encoding that was not requested, or does not match its header."""


def answer_limit(max_tokens: int) -> int:
    """Return the size limit of an unstreamed answer, of an event and of a text, in bytes."""
    return _BASE_BYTES + _BYTES_PER_TOKEN * max_tokens


def stream_limit(max_tokens: int) -> int:
    """Return the size limit of a streamed answer, in bytes. It is never held in memory."""
    return _BASE_BYTES + _STREAM_BYTES_PER_TOKEN * max_tokens


def opened(chunks: Iterable[bytes]) -> tuple[Form, Iterator[bytes]]:
    """Return the kind of a body, and its chunks without leading whitespace."""
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
    """Yield the chunks. Raise `TooLargeError` after `limit` bytes."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise TooLargeError(f"more than {limit} bytes")
        yield chunk


def decompressed(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Yield the decompressed body, in pieces of at most `PIECE` bytes."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        yield from chunks
        return
    if name not in _GZIP:
        raise EncodingError("an encoding that was not requested")
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
        raise EncodingError("the data does not match the encoding in its header") from None


def events(chunks: Iterable[bytes], *, limit: int) -> Iterator[tuple[str, str]]:
    """Yield name and data of each server-sent event. The name may be empty.

    As the standard requires, an unfinished last event is dropped. An event over `limit` bytes
    raises `TooLargeError`, and one that is not UTF-8 `UnicodeDecodeError`.
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
    """Yield lines without their ends: a line feed, a carriage return, or both."""
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
