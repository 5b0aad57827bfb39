"""Each end of a call is billed by the table of docs/decisions/billing.md, row by row.

The calls use real sockets, and a provider that decides about every byte.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests import wire
from tests.provider_calls import failure, gateway, user
from tests.wire import Exchange, WireServer, serving
from workers.inference import Billing, Cancel, TokenUsage

PATIENCE_S = 20.0
MAX_TOKENS = 1_000

REPORTED = TokenUsage(11, 1, 5, 3)
"""The usage in `message_start` (`wire.USAGE`)."""

CEILING = 502
"""11 x 0.10 + 5 x 0.01 + 3 x 0.125 + 1,000 x 0.50 = 501.525 micro-dollars, rounded up."""

USAGE = TokenUsage(11, 9, 5, 3)
COST = 7
"""11 x 0.10 + 9 x 0.50 + 5 x 0.01 + 3 x 0.125 = 6.025 micro-dollars, rounded up."""


@dataclass(frozen=True)
class Row:
    """One row of the table: the action of the provider, and the evidence of its bill."""

    script: wire.Script
    billing: Billing
    cost_micro: int | None = None
    usage: TokenUsage | None = None
    stream: bool = True
    cancelled: str = ""
    """When we abort the call: once the provider `waits`, or at the first `text`."""
    client: dict[str, Any] = field(default_factory=dict)
    """Options of the client."""


PROVIDER_ERROR = {"type": "error", "error": {"type": "api_error", "message": "m"}}
GATEWAY_ERROR = {"error": {"message": "upstream timed out", "type": "timeout", "code": "504"}}
PAGE = b"<html><title>Gateway time-out</title></html>"


def status(code: int, body: Any = PROVIDER_ERROR) -> wire.Script:
    return lambda exchange: exchange.reply(body, status=code)


def events(*some: tuple[str, Any]) -> wire.Script:
    return lambda exchange: exchange.stream(*some)


BEGUN = wire.events("Hel", "lo")[:7]
NO_OUTPUT = [
    wire.events()[0],
    ("message_delta", {"delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 9}}),
    ("message_stop", {"type": "message_stop"}),
]
ERROR = ("error", PROVIDER_ERROR)
UNREADABLE = ("error", "{no")


def begin_and(then: Callable[[Exchange], None]) -> wire.Script:
    """Send the answer's beginning, then do this."""

    def script(exchange: Exchange) -> None:
        exchange.start_stream()
        exchange.chunk(wire.sse(*BEGUN))
        then(exchange)

    return script


def reset(exchange: Exchange) -> None:
    """End the connection with a reset instead of an orderly close."""
    linger = b"\1\0\0\0\0\0\0\0"
    exchange._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    exchange.close()


def half_an_answer(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{")
    exchange.close()


def whole(**changes: Any) -> wire.Script:
    """An unstreamed answer."""
    return lambda exchange: exchange.reply({**wire.message("Hello"), **changes})


QUIET: dict[str, Any] = {"client": {"idle_timeout_s": 0.3}}
PATIENT: dict[str, Any] = {"client": {"idle_timeout_s": 600.0}}
FAILED = Billing.NONE
SETTLED: dict[str, Any] = {"billing": Billing.KNOWN, "cost_micro": COST, "usage": USAGE}
UNBILLED: dict[str, Any] = {"billing": Billing.KNOWN, "cost_micro": 0, "usage": USAGE}
ESTIMATED: dict[str, Any] = {
    "billing": Billing.CEILING,
    "cost_micro": CEILING,
    "usage": REPORTED,
}

ROWS: dict[str, Row] = {
    # any 4xx; 5xx and 529; 504 with the provider's error; an error event before message_start
    **{
        f"{code} with the provider's error": Row(status(code), FAILED)
        for code in (400, 401, 403, 404, 408, 413, 429, 499, 500, 502, 503, 504, 529)
    },
    **{
        f"{code} page of a proxy": Row(status(code, PAGE), FAILED)
        for code in (403, 408, 413, 499, 500, 502, 503, 520, 522)
    },
    "500 for a call without a stream": Row(status(500), FAILED, stream=False),
    "error event before the answer": Row(events(ERROR), FAILED),
    "error event that cannot be read before the answer": Row(events(UNREADABLE), Billing.UNSEEN),
    # 504 or 524 of a proxy, without the provider's error
    "504 page": Row(status(504, PAGE), Billing.UNSEEN),
    "524 page": Row(status(524, PAGE), Billing.UNSEEN),
    "504 with an empty body": Row(status(504, b""), Billing.UNSEEN),
    "504 with a gateway's JSON": Row(status(504, GATEWAY_ERROR), Billing.UNSEEN),
    **{
        f"504 with half of the provider's error: {half}": Row(
            status(504, {"type": "error", **half}), Billing.UNSEEN
        )
        for half in ({}, {"error": "timeout"}, {"error": {"message": "m"}}, {"error": {"type": 5}})
    },
    "504 page for a call without a stream": Row(status(504, PAGE), Billing.UNSEEN, stream=False),
    # 200, refusal, no output
    "refusal without output": Row(events(*NO_OUTPUT), **UNBILLED),
    "refusal without output or stream": Row(
        whole(content=[], stop_reason="refusal"), stream=False, **UNBILLED
    ),
    "refusal with an empty block": Row(
        whole(content=[{"type": "text", "text": ""}], stop_reason="refusal"),
        stream=False,
        **UNBILLED,
    ),
    # a complete answer, a later refusal, max_tokens
    "refusal after output": Row(events(*wire.events("No", stop_reason="refusal")), **SETTLED),
    "refusal after thinking alone": Row(events(*wire.events(stop_reason="refusal")), **SETTLED),
    "refusal after output, no stream": Row(whole(stop_reason="refusal"), stream=False, **SETTLED),
    "max_tokens": Row(events(*wire.events("Hal", stop_reason="max_tokens")), **SETTLED),
    "no text": Row(events(*wire.events(stop_reason="end_turn")), **SETTLED),
    # after message_start: abort, reset, end, idle time-out, error event
    "abort in the answer": Row(begin_and(Exchange.hang), **ESTIMATED, cancelled="text", **PATIENT),
    "reset in the answer": Row(begin_and(reset), **ESTIMATED),
    "end of the connection in the answer": Row(begin_and(Exchange.close), **ESTIMATED),
    "end of the stream in the answer": Row(events(*BEGUN), **ESTIMATED),
    "silence in the answer": Row(begin_and(Exchange.hang), **ESTIMATED, **QUIET),
    "error event in the answer": Row(events(*BEGUN, ERROR), **ESTIMATED),
    "error event in the answer that cannot be read": Row(events(*BEGUN, UNREADABLE), **ESTIMATED),
    "nonsense in the answer": Row(events(*BEGUN, ("content_block_delta", "{no")), **ESTIMATED),
    # sent, no message_start: abort, time-out without a byte, reset
    "abort before the answer": Row(Exchange.hang, Billing.UNSEEN, cancelled="waits", **PATIENT),
    "silence before the answer": Row(Exchange.hang, Billing.UNSEEN, **QUIET),
    "reset before the answer": Row(reset, Billing.UNSEEN),
    "end of a stream without an event": Row(events(), Billing.UNSEEN),
    # without a stream there is no message_start
    "end in the answer, no stream": Row(half_an_answer, Billing.UNSEEN, stream=False),
    "nonsense, no stream": Row(status(200, b"<html>"), Billing.UNSEEN, stream=False),
    "no message, no stream": Row(whole(type="other"), Billing.UNSEEN, stream=False),
    "odd content behind a whole usage": Row(whole(content=[{}]), stream=False, **SETTLED),
}


def cancel_when_it_waits(server: WireServer, cancel: Cancel) -> None:
    if server.waiting.acquire(timeout=PATIENCE_S):
        cancel.cancel("user")


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_each_end_of_a_call_is_billed_by_the_table(row: Row) -> None:
    cancel = Cancel()

    def seen(_: str) -> None:
        if row.cancelled == "text":
            cancel.cancel("user")

    with serving(row.script) as server, gateway(server, **row.client) as door:
        if row.cancelled == "waits":
            threading.Thread(target=cancel_when_it_waits, args=(server, cancel)).start()
        error = failure(door, cancel, seen, stream=row.stream, max_tokens=MAX_TOKENS)
    assert (error.billing, error.cost_micro) == (row.billing, row.cost_micro)
    assert error.usage == row.usage


def test_a_call_that_was_not_sent_is_not_billed() -> None:
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        with gateway(f"http://127.0.0.1:{taken.getsockname()[1]}") as door:
            assert failure(door).billing is Billing.NONE


def starting_with(usage: Any) -> wire.Script:
    """A stream that ends after a `message_start` with this usage."""
    message = {**wire.message(stop_reason=None), "usage": usage}
    return events(("message_start", {"type": "message_start", "message": message}))


LONG = "The refund is paid within thirty days. " * 1_000
NONE_COUNTED = {"input_tokens": 0, "output_tokens": 0}


@pytest.mark.parametrize(
    ("usage", "billing"),
    [
        ({"input_tokens": 8_000, "output_tokens": 1}, Billing.CEILING),
        ({"input_tokens": 10, "cache_read_input_tokens": 8_000}, Billing.CEILING),
        ({"input_tokens": 10, "cache_creation_input_tokens": 8_000}, Billing.CEILING),
        (NONE_COUNTED, Billing.UNSEEN),
        ({}, Billing.UNSEEN),
        ({"input_tokens": 10, "output_tokens": 1}, Billing.UNSEEN),
        ({"input_tokens": "8000"}, Billing.UNSEEN),
        ({"input_tokens": 9_000, "cache_read_input_tokens": -1_000}, Billing.UNSEEN),
        (None, Billing.UNSEEN),
    ],
    ids=str,
)
def test_a_report_too_small_for_the_prompt_is_not_believed(usage: Any, billing: Billing) -> None:
    """A gateway may fill the counts in at the end: its first ones are no evidence of the bill."""
    with serving(starting_with(usage)) as server, gateway(server) as door:
        error = failure(door, messages=user(LONG))
    assert error.billing is billing
    assert (error.cost_micro is None) == (billing is Billing.UNSEEN)


def test_a_report_of_nothing_is_not_believed_for_the_shortest_prompt() -> None:
    with serving(starting_with(NONE_COUNTED)) as server, gateway(server) as door:
        assert failure(door, system=()).billing is Billing.UNSEEN


def test_no_ceiling_comes_from_output_that_was_reported_beyond_the_limit() -> None:
    last = ("message_delta", {"delta": {"stop_reason": None}, "usage": {"output_tokens": 2_000}})
    with serving(events(*BEGUN, last)) as server, gateway(server) as door:
        error = failure(door, max_tokens=MAX_TOKENS)
    assert (error.billing, error.cost_micro) == (Billing.UNSEEN, None)
