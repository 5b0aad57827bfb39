"""Answers of a provider that breaks its protocol, each with the required result of the call.

The table is data. `tests.wire` serves it over a bare socket, and two tests run it: one through the
real client, one through the whole path of a job.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests import wire
from tests.wire import Exchange, Script

TEXT = json.dumps({"summary": "The billing moved.", "key_facts": []})
"""A valid answer of the feature `summarize`."""

USAGE = {"input_tokens": 900, "output_tokens": 40}
"""A usage that is possible for the requests of both tests."""

UNASKED: dict[str, dict[str, Any]] = {
    "priority": {"service_tier": "priority"},
    "batch": {"service_tier": "batch"},
    "a new tier": {"service_tier": "gold"},
    "fast": {"speed": "fast"},
    "an hour's cache": {
        "cache_creation_input_tokens": 800,
        "cache_creation": {"ephemeral_1h_input_tokens": 800},
    },
    "searches": {"server_tool_use": {"web_search_requests": 10_000}},
    "searches beyond bigint": {"server_tool_use": {"web_search_requests": 2**80}},
    "all of them": {
        "service_tier": "priority",
        "speed": "fast",
        "inference_geo": "us",
        "server_tool_use": {"web_search_requests": 10_000},
        "cache_creation_input_tokens": 800,
        "cache_creation": {"ephemeral_1h_input_tokens": 800},
    },
}
"""Other fields of a usage, with values that no request of the product can cause."""

Events = list[tuple[str, Any]]


class Then(Enum):
    """The result of a call."""

    ANSWERED = "answered"
    """The call is settled at its usage. Other faults of the answer do not matter."""
    UNSEEN = "unseen"
    """The answer is used. The usage is impossible, so the call counts its bound."""
    GARBLED = "garbled"
    """The job makes one call and ends."""
    UNUSABLE = "unusable"
    """The answer is complete and useless. The job calls each model once."""
    CUT = "cut"
    """The connection failed. The job waits and is tried again, a few times."""
    TURNED_AWAY = "turned away"
    """The call is not billed. The job waits."""
    REFUSED = "refused"
    """The call is not billed. The job fails immediately."""


@dataclass(frozen=True)
class Broken:
    """One way to answer, and the result of the call."""

    script: Script
    then: Then


def good(
    text: str = TEXT, *, stop_reason: Any = "end_turn", usage: Any = None, start: Any = None
) -> Events:
    """Return the events of a correct answer, except for the given values."""
    message = {**wire.message(stop_reason=None), "usage": USAGE if start is None else start}
    return [
        ("message_start", {"type": "message_start", "message": message}),
        ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
        ("content_block_delta", delta(text)),
        ("content_block_stop", {"index": 0}),
        (
            "message_delta",
            {
                "type": "message_delta",
                "delta": {"stop_reason": stop_reason},
                "usage": USAGE if usage is None else usage,
            },
        ),
        ("message_stop", {"type": "message_stop"}),
    ]


def delta(text: Any) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": text},
    }


def whole(**changes: Any) -> dict[str, Any]:
    """Return a correct answer that is not streamed, except for these fields."""
    return {**wire.message(TEXT), "usage": USAGE, **changes}


def stream(*some: tuple[str, Any]) -> Script:
    return lambda exchange: exchange.stream(*some)


def reply(body: Any, **how: Any) -> Script:
    return lambda exchange: exchange.reply(body, **how)


def raw(data: bytes) -> Script:
    """Send these bytes, then close the connection."""

    def script(exchange: Exchange) -> None:
        exchange.send(data)
        exchange.close()

    return script


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def flood(begin: bytes, piece: bytes, *, pieces: int) -> Script:
    """Send a very long body. The connection fails when the client closes it."""

    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.chunk(begin)
        for _ in range(pieces):
            exchange.chunk(piece)
        exchange.chunk(b"")

    return script


def without(number: int) -> Events:
    events = good()
    del events[number]
    return events


def doubled(number: int) -> Events:
    events = good()
    return [*events[: number + 1], *events[number:]]


def with_data(number: int, data: Any) -> Events:
    events = good()
    events[number] = (events[number][0], data)
    return events


OK = "HTTP/1.1 200 OK"
PAGE = b"<html><title>Sign in</title><form action='/login'></form></html>"
ODD_VALUES: tuple[Any, ...] = (None, True, 7, 1.5, "x", [], {}, [[]], {"a": {"b": []}})
EVENT_NAMES = ("message_start", "content_block_start", "content_block_delta")

ODD_COUNTS: dict[str, Any] = {
    "negative": -1,
    "boolean": True,
    "fractional": 1.5,
    "whole float": 40.0,
    "text": "40",
    "null": None,
    "list": [40],
    "object": {"tokens": 40},
    "above max_tokens": 1_025,
    "huge": 2**31,
    "beyond bigint": 2**80,
    "zero": 0,
}

RETRY_AFTER = (
    *("", " ", "0", "-1", "+1", "1.5", "1e400", "-1e400", "nan", "inf", "1_0", "٣", "0x10", "soon"),
    *("Mon, 01 Jan 99999 00:00:00 GMT", "1, 2", "9" * 400),
    *("Sun, 01 Nov 2026 08:00:09 GMT", "Sun, 99 Foo 99999 99:99:99 GMT"),
    *("Mon, 01 Jan 0000 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:60 GMT", "1 Jan 1 1:1:1 +9999999"),
)
"""Values of a header that should be seconds. Most of them must be ignored."""


def _statuses() -> Iterator[tuple[str, Broken]]:
    error = {"type": "error", "error": {"type": "api_error", "message": "m"}}
    for status in (400, 404, 405, 406, 413, 415, 418, 422, 451, 301, 302, 304, 307, 308):
        yield f"status {status}", Broken(reply(error, status=status), Then.REFUSED)
    for status in (429, 500, 501, 502, 503, 507, 520, 529, 599, 799, 999):
        yield f"status {status}", Broken(reply(error, status=status), Then.TURNED_AWAY)
    for status in (400, 403, 404, 413, 422):
        said = {"x-should-retry": "true", "retry-after": "0"}
        told = reply(error, status=status, headers=said)
        yield f"status {status} that says to try again", Broken(told, Then.REFUSED)
    for name, body in {
        "a page": PAGE,
        "nothing": b"",
        "no UTF-8": b"\xff\xfe\x00",
        "deep JSON": b"[" * 100_000,
        "a list": [],
        "a number": 7,
        "odd fields": {"type": "error", "error": {"type": ["x"], "details": [1]}},
        "odd details": {"type": "error", "error": {"type": None, "details": {"error_code": 7}}},
        "a long type": {"type": "error", "error": {"type": "x" * 100_000, "message": None}},
        "5 MB": b"x" * 5_000_000,
    }.items():
        yield f"500 with {name}", Broken(reply(body, status=500), Then.TURNED_AWAY)
    lies = {"content-encoding": "gzip"}
    yield "500 not gzip as named", Broken(reply(PAGE, status=500, headers=lies), Then.TURNED_AWAY)
    cut = raw(head("HTTP/1.1 529 X", "content-length: 900") + b'{"type": "er')
    yield "529 whose body breaks off", Broken(cut, Then.TURNED_AWAY)
    for value in RETRY_AFTER:
        headers = {"retry-after": value}
        try:
            value.encode("latin-1")
        except UnicodeEncodeError:
            headers = {"retry-after": value.encode().decode("latin-1")}
        told = reply(error, status=429, headers=headers)
        yield f"429 with retry-after {value[:20]!r}", Broken(told, Then.TURNED_AWAY)
    for status in (201, 202, 203):
        odd = reply(whole(), status=status)
        yield f"status {status} with an answer", Broken(odd, Then.ANSWERED)
    yield "status 204", Broken(reply(b"", status=204), Then.GARBLED)


def _bomb() -> bytes:
    """Return 300 MB of one letter in gzip, of which one MB is compressed and then repeated."""
    packer, begin, million, times = zlib.compressobj(9, wbits=31), b"data: ", b"x" * 1_000_000, 300
    head = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(million) + packer.flush(zlib.Z_FULL_FLUSH)
    check = zlib.crc32(begin)
    for _ in range(times):
        check = zlib.crc32(million, check)
    end = b"\x03\x00" + struct.pack("<II", check, len(begin) + times * len(million))
    return head + block * times + end


def _framing() -> Iterator[tuple[str, Broken]]:
    events, length = wire.sse(*good()), len(wire.sse(*good()))
    kind = "content-type: text/event-stream"
    answers: dict[str, tuple[bytes, Then]] = {
        "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", Then.GARBLED),
        "a status that is no number": (head("HTTP/1.1 abc OK") + events, Then.GARBLED),
        "a header without a colon": (head(OK, "nonsense") + events, Then.GARBLED),
        "a length that is no number": (head(OK, "content-length: x") + events, Then.GARBLED),
        "a negative length": (head(OK, "content-length: -5") + events, Then.GARBLED),
        "a chunk size that is no number": (
            head(OK, "transfer-encoding: chunked") + b"zz\r\n" + events,
            Then.GARBLED,
        ),
        "an unknown transfer encoding": (
            head(OK, "transfer-encoding: rot13") + events,
            Then.GARBLED,
        ),
        "200 kB of headers": (head(OK, f"x: {'y' * 200_000}") + events, Then.GARBLED),
        "no headers": (head(OK) + events, Then.ANSWERED),
        "HTTP/1.0 until the end": (head("HTTP/1.0 200 OK", kind) + events, Then.ANSWERED),
        "a continue before it": (head("HTTP/1.1 100 X") + head(OK, kind) + events, Then.ANSWERED),
        "a length too large": (head(OK, f"content-length: {length + 9}") + events, Then.ANSWERED),
        "a length too small": (head(OK, f"content-length: {length - 99}") + events, Then.CUT),
        "nothing": (b"", Then.CUT),
        "half a head": (b"HTTP/1.1 200 OK\r\nconte", Then.CUT),
        "a head alone": (head(OK, "content-length: 500"), Then.CUT),
        "events that break off": (head(OK, "content-length: 99999") + events[:600], Then.CUT),
        "zstd": (head(OK, "content-encoding: zstd") + events, Then.GARBLED),
        "deflate": (head(OK, "content-encoding: deflate") + zlib.compress(events), Then.GARBLED),
        "gzip that is none": (head(OK, "content-encoding: gzip") + events, Then.GARBLED),
        "gzip": (head(OK, "content-encoding: gzip") + gzip.compress(events), Then.ANSWERED),
        "a gzip bomb": (head(OK, "content-encoding: gzip") + _bomb(), Then.GARBLED),
        "a page until the end": (head("HTTP/1.0 200 OK") + PAGE, Then.GARBLED),
        "half a word": (head("HTTP/1.0 200 OK", kind) + b"eve", Then.CUT),
    }
    for name, (data, then) in answers.items():
        yield f"framing: {name}", Broken(raw(data), then)


def _bodies() -> Iterator[tuple[str, Broken]]:
    """Yield bodies that are not streams, or not answers. The requests require a stream."""
    bodies: dict[str, tuple[Any, Then]] = {
        "a whole answer": (whole(), Then.ANSWERED),
        "a whole answer without usage": (whole(usage=None), Then.UNSEEN),
        "a whole answer that used a tool": (whole(stop_reason="tool_use"), Then.UNUSABLE),
        "a page": (PAGE, Then.GARBLED),
        "nothing": (b"", Then.GARBLED),
        "a list": ([], Then.GARBLED),
        "deep JSON": (b'{"a":' * 100_000, Then.GARBLED),
        "half an answer": (json.dumps(whole()).encode()[:99], Then.GARBLED),
        "an OpenAI answer": ({"object": "chat.completion", "choices": []}, Then.GARBLED),
        "an error with status 200": (
            {"type": "error", "error": {"type": "api_error"}},
            Then.GARBLED,
        ),
        "no UTF-8": (b"data: \xff\xfe\n\n", Then.GARBLED),
        "OpenAI events": (b'data: {"choices": []}\n\ndata: [DONE]\n\n', Then.GARBLED),
        "pings alone": (wire.sse(("ping", {"type": "ping"})), Then.GARBLED),
        "half a word": (b"eve", Then.GARBLED),
        "5 MB of JSON": (b'{"a": "' + b"x" * 5_000_000, Then.GARBLED),
    }
    for field in ("type", "content", "model", "stop_reason"):
        body = whole()
        del body[field]
        bodies[f"an answer without {field}"] = (body, Then.GARBLED)
    contents: tuple[Any, ...] = (None, True, 7, "x", {}, [7], [{}], [{"type": "text"}])
    for value in contents:
        bodies[f"content {value!r}"] = (whole(content=value), Then.GARBLED)
    bodies["no content"] = (whole(content=[]), Then.UNUSABLE)
    for name, (body, then) in bodies.items():
        yield f"body: {name}", Broken(reply(body), then)


def _streams() -> Iterator[tuple[str, Broken]]:
    for number, name in enumerate(("start", "block start", "text", "block stop", "delta", "stop")):
        then = {"start": Then.GARBLED, "text": Then.UNUSABLE, "delta": Then.GARBLED}
        then |= {"stop": Then.CUT}
        yield (
            f"stream without its {name}",
            Broken(stream(*without(number)), then.get(name, Then.ANSWERED)),
        )
    yield "two beginnings", Broken(stream(*doubled(0)), Then.GARBLED)
    yield "two ends", Broken(stream(*doubled(5)), Then.ANSWERED)
    yield "backwards", Broken(stream(*reversed(good())), Then.GARBLED)
    yield "an end alone", Broken(stream(good()[-1]), Then.GARBLED)
    yield (
        "unknown events",
        Broken(stream(("new", "{no"), *good()[:3], ("x" * 999, {}), *good()[3:]), Then.ANSWERED),
    )
    for number, name in enumerate(EVENT_NAMES):
        for value in ODD_VALUES:
            yield f"{name} is {value!r}", Broken(stream(*with_data(number, value)), Then.GARBLED)
    for value in (None, True, 7, [], {}):
        yield f"a text is {value!r}", Broken(stream(*with_data(2, delta(value))), Then.GARBLED)
    for data in ("{no", "", "[" * 100_000, "NaN", '{"delta": ' + "9" * 5_000 + "}"):
        yield f"a delta is {data[:20]!r}", Broken(stream(*with_data(2, data)), Then.GARBLED)
    for reason in ("tool_use", "pause_turn", "brand_new", "", "x" * 9_999, "\x00", None, "refusal"):
        yield (
            f"stop reason {str(reason)[:20]!r}",
            Broken(stream(*good(stop_reason=reason)), Then.UNUSABLE),
        )
    for value in (True, 7, [], {}):
        yield f"stop reason {value!r}", Broken(stream(*good(stop_reason=value)), Then.GARBLED)
    for text in ("", " \n", "\t"):
        yield f"text {text!r}", Broken(stream(*good(text)), Then.UNUSABLE)
    for error in ("{no", "[]", {"error": None}, {"error": {"type": 7}}, {"error": {"details": 1}}):
        yield f"error event {error!r}", Broken(stream(("error", error)), Then.GARBLED)
    yield (
        "30 MB in one event",
        Broken(flood(wire.sse(*good()[:2]) + b"data: ", b"x" * 100_000, pieces=300), Then.GARBLED),
    )
    yield (
        "30 MB of text",
        Broken(
            flood(
                wire.sse(*good()[:2]),
                wire.sse(("content_block_delta", delta("x" * 9_999))),
                pieces=3_000,
            ),
            Then.GARBLED,
        ),
    )
    yield (
        "30 MB of pings",
        Broken(
            flood(wire.sse(*good()[:2]), wire.sse(("ping", "p" * 9_999)), pieces=3_000),
            Then.GARBLED,
        ),
    )


def _after_the_end() -> Iterator[tuple[str, Broken]]:
    """Yield complete answers followed by errors, which must be ignored."""
    for kind, data in {
        "": '{"type": ' + '{"a": ' * 100_000,
        "error": "{no",
        "message_start": "[" * 100_000,
        "message_delta": {"delta": {"stop_reason": "refusal"}, "usage": None},
    }.items():
        after = Broken(stream(*good(), (kind, data)), Then.ANSWERED)
        yield f"an end, then {kind or 'deep JSON without a name'}", after
    after = Broken(reply(wire.sse(*good()) + b"data: \xff\n\n"), Then.ANSWERED)
    yield "an end, then no UTF-8", after


def _usages() -> Iterator[tuple[str, Broken]]:
    yield "no usage", Broken(stream(*_without_usage()), Then.UNSEEN)
    odd: tuple[Any, ...] = (True, 7, "x", [], {})
    for value in odd:
        yield f"usage {value!r}", Broken(stream(*good(usage=value, start=value)), Then.UNSEEN)
    for name, count in ODD_COUNTS.items():
        usage = {**USAGE, "output_tokens": count}
        yield f"output count {name}", Broken(stream(*good(usage=usage)), Then.UNSEEN)
    for name, count in {**ODD_COUNTS, "above what was sent": 400_000}.items():
        if name in {"above max_tokens", "null"}:
            continue
        usage = {**USAGE, "input_tokens": count}
        yield f"prompt count {name}", Broken(stream(*good(usage=usage)), Then.UNSEEN)
    for name, count in {"huge": 2**62, "negative": -1, "fractional": 0.5, "text": "1"}.items():
        usage = {**USAGE, "cache_read_input_tokens": count}
        yield f"cache count {name}", Broken(stream(*good(usage=usage)), Then.UNSEEN)
    for name, unasked in UNASKED.items():
        usage = {**USAGE, **unasked}
        answer = good(usage=usage, start=usage)
        yield f"usage with {name}", Broken(stream(*answer), Then.ANSWERED)
        yield f"usage with {name}, then an end", Broken(stream(*answer[:1]), Then.CUT)
        garbled = stream(*answer[:2], ("content_block_delta", "{no"))
        yield f"usage with {name}, then nonsense", Broken(garbled, Then.GARBLED)
    yield (
        "a count that is NaN",
        Broken(
            stream(
                *with_data(
                    4, '{"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": NaN}}'
                )
            ),
            Then.UNSEEN,
        ),
    )


def _without_usage() -> Events:
    events = good()
    del events[0][1]["message"]["usage"]
    del events[4][1]["usage"]
    return events


def _headers() -> Iterator[tuple[str, Broken]]:
    """Yield correct answers with limit headers that would block other calls if applied."""
    for value in ("0", "1", "-9", "nan", "1e9", "9" * 4_000, "", "x"):
        names = ("requests", "input-tokens", "output-tokens", "tokens")
        headers = {f"anthropic-ratelimit-{name}-limit": value for name in names}
        headers |= {f"anthropic-ratelimit-{name}-remaining": "0" for name in names}
        if value == "1":  # one request a minute can be true
            del headers["anthropic-ratelimit-requests-limit"]
        yield f"limits {value[:9]!r}", Broken(reply(whole(), headers=headers), Then.ANSWERED)
    ids = {"request-id": "r" * 9_999, "retry-after": "86400", "x-should-retry": "false"}
    yield "a long request id", Broken(reply(whole(), headers=ids), Then.ANSWERED)


def _table() -> dict[str, Broken]:
    makers: tuple[Callable[[], Iterator[tuple[str, Broken]]], ...] = (
        *(_statuses, _framing, _bodies, _streams, _after_the_end, _usages, _headers),
    )
    found: dict[str, Broken] = {}
    for maker in makers:
        for name, broken in maker():
            assert name not in found, name
            found[name] = broken
    return found


ANSWERS = _table()
