"""Send a reply, streamed or whole, at its pace, with the faults of the delivery."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING

from workers.sandbox.events import Event, Reply, sse, stream
from workers.sandbox.faults import FaultKind, FaultRule
from workers.sandbox.pace import Pace, until
from workers.sandbox.rejection import error_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.sandbox.record import Call
    from workers.sandbox.wire import Wire

DEFAULT_AFTER_EVENTS = 4
"""Events before a fault within a stream: message start, block start, a ping, one delta."""

PROXY_PAGE = b"<!doctype html><title>%d</title><h1>The origin took too long to answer</h1>"

_MIDSTREAM = {
    FaultKind.STALL,
    FaultKind.CONNECTION_CUT,
    FaultKind.STREAM_TRUNCATED,
    FaultKind.GARBLED_CHUNK,
    FaultKind.ERROR_IN_STREAM,
}


def fresh_id(prefix: str) -> str:
    """Return a new id in the provider's style."""
    return f"{prefix}_{uuid.uuid4().hex[:24]}"


async def deliver(
    wire: Wire,
    call: Call,
    reply: Reply,
    rule: FaultRule | None,
    pace: Pace,
    headers: Mapping[str, str],
) -> None:
    """Send the reply with its fault."""
    if rule is not None and rule.kind is FaultKind.PROXY_TIMEOUT:
        await _page(wire, call, rule)
    elif call.stream:
        await _streamed(wire, call, reply, rule, pace, headers)
    else:
        await _whole(wire, reply, rule, pace, headers)


async def _page(wire: Wire, call: Call, rule: FaultRule) -> None:
    """Answer like a proxy that stopped waiting for the provider: with its own page."""
    # The provider behind the proxy continues to work, and bills the call.
    call.outcome = rule.kind
    await wire.start(rule.status, {"content-type": "text/html; charset=utf-8"})
    await wire.write(PROXY_PAGE % rule.status, more=False)


async def _whole(
    wire: Wire,
    reply: Reply,
    rule: FaultRule | None,
    pace: Pace,
    headers: Mapping[str, str],
) -> None:
    await until(pace.due(reply.output_tokens, reply.output_tokens))
    data = json.dumps(reply.message(), ensure_ascii=False).encode()
    kind = rule.kind if rule is not None else None
    if rule is not None and kind is FaultKind.STALL:
        await wire.start(200, {"content-type": "application/json", **headers})
        await until(asyncio.get_running_loop().time() + rule.seconds)
        await wire.write(data, more=False)
        return
    if kind is FaultKind.GARBLED_CHUNK:
        data = data[: len(data) * 2 // 3]
    await wire.raw_json(200, data, headers)


async def _streamed(
    wire: Wire,
    call: Call,
    reply: Reply,
    rule: FaultRule | None,
    pace: Pace,
    headers: Mapping[str, str],
) -> None:
    events = list(stream(reply))
    strike_at = _strike_at(rule, events)
    loop = asyncio.get_running_loop()
    await until(pace.due(0, reply.output_tokens))
    head = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
    await wire.start(200, {**head, **headers})
    ready: list[bytes] = []
    for index, event in enumerate(events):
        due = pace.due(event.written, reply.output_tokens)
        if ready and (due > loop.time() or index == strike_at):
            await wire.write(b"".join(ready))
            ready.clear()
        await until(due)
        if rule is not None and index == strike_at:
            if index == 0 and rule.kind is FaultKind.ERROR_IN_STREAM:
                call.usage = call.billed = None  # no answer has begun: the call has failed
            if await _strike(wire, call, rule):
                return
        ready.append(event.encode())
    await wire.write(b"".join(ready), more=False)


def _strike_at(rule: FaultRule | None, events: list[Event]) -> int | None:
    """Return the index of the event before which the fault happens, or None."""
    if rule is None or rule.kind not in _MIDSTREAM:
        return None
    closing = next((i for i, event in enumerate(events) if event.name == "content_block_stop"), 1)
    if rule.after_events is not None:
        return min(rule.after_events, len(events) - 1)
    return (
        closing if rule.kind is FaultKind.STREAM_TRUNCATED else min(DEFAULT_AFTER_EVENTS, closing)
    )


async def _strike(wire: Wire, call: Call, rule: FaultRule) -> bool:
    """Make the fault happen. Return whether the stream is over."""
    if rule.kind is FaultKind.STALL:
        await until(asyncio.get_running_loop().time() + rule.seconds)
        return False
    if rule.kind is FaultKind.GARBLED_CHUNK:
        await wire.write(
            sse("content_block_delta", '{"type": "content_block_delta", "index": 0, "d')
        )
        return False
    call.outcome = rule.kind
    if rule.kind is FaultKind.CONNECTION_CUT:
        await wire.cut()
    elif rule.kind is FaultKind.ERROR_IN_STREAM:
        error = error_body("overloaded_error", "Overloaded", request_id=call.request_id)
        await wire.write(sse("error", json.dumps(error)), more=False)
    else:
        await wire.write(b"", more=False)
    return True
