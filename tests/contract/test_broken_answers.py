"""Broken answers through the real client: whatever comes, a verdict and a bill that holds."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests import wire
from tests.broken_answers import (
    ANSWERS,
    OK,
    TEXT,
    UNASKED,
    USAGE,
    Broken,
    Then,
    delta,
    good,
    head,
    whole,
)
from tests.wire import WireServer, serving
from workers.inference import (
    AnswerGarbled,
    AnswerUnusable,
    AnthropicClient,
    Billing,
    Cancel,
    Gateway,
    InferenceError,
    InferenceRequest,
    InferenceResult,
    Message,
    Permanent,
    TextBlock,
    Transient,
)

DOCUMENT = "The course platform moved its billing to a new provider on 3 March 2026. " * 40

KINDS: dict[Then, type[InferenceError]] = {
    Then.GARBLED: AnswerGarbled,
    Then.UNUSABLE: AnswerUnusable,
    Then.CUT: Transient,
    Then.TURNED_AWAY: Transient,
    Then.REFUSED: Permanent,
}


def a_request(*, stream: bool = True) -> InferenceRequest:
    return InferenceRequest(
        attempt_id=uuid4(),
        model="claude-haiku-5-5",
        system=(TextBlock("You summarise."),),
        messages=(Message("user", (TextBlock(DOCUMENT),)),),
        max_tokens=1_024,
        stream=stream,
        deadline_s=120.0,
    )


@contextmanager
def gateway(server: WireServer) -> Iterator[Gateway]:
    door = Gateway(AnthropicClient(api_key="sk-test", base_url=server.url))
    try:
        yield door
    finally:
        door.close()


def outcome(
    door: Gateway, request: InferenceRequest, pieces: list[str] | None = None
) -> InferenceResult | InferenceError:
    """What came of a call. Its bill holds, and every exception is one of ours."""
    bound = door.upper_bound_micro(request)
    seen = [] if pieces is None else pieces
    try:
        result = door.infer(request, cancel=Cancel(), on_delta=seen.append)
    except InferenceError as error:
        failed = error
    else:
        assert 0 <= result.cost_micro <= bound
        assert (result.cost_micro == bound) >= bool(result.usage_problem)
        return result
    assert "canary" not in f"{failed} {failed.detail}"
    if failed.billing in {Billing.KNOWN, Billing.CEILING}:
        assert failed.cost_micro is not None
        assert 0 <= failed.cost_micro <= bound
    else:
        assert failed.cost_micro is None
    return failed


@pytest.fixture(scope="module")
def door() -> Iterator[tuple[WireServer, Gateway]]:
    with serving(lambda exchange: exchange.close()) as server, gateway(server) as found:
        yield server, found


def test_the_table_has_more_than_a_hundred_answers() -> None:
    assert len(ANSWERS) > 100


@pytest.mark.parametrize("broken", ANSWERS.values(), ids=list(ANSWERS))
def test_each_broken_answer_has_its_verdict(broken: Broken) -> None:
    with serving(broken.script) as server, gateway(server) as door:
        found = outcome(door, a_request())
    assert len(server.requests) == 1
    if broken.then in {Then.ANSWERED, Then.UNSEEN}:
        assert isinstance(found, InferenceResult)
        assert found.text == TEXT
        assert bool(found.usage_problem) is (broken.then is Then.UNSEEN)
        return
    assert isinstance(found, KINDS[broken.then])
    assert found.retryable is (broken.then in {Then.CUT, Then.TURNED_AWAY})
    unbilled = broken.then in {Then.TURNED_AWAY, Then.REFUSED}
    assert (found.billing is Billing.NONE) is unbilled


@pytest.mark.parametrize("name", [name for name in ANSWERS if "MB" in name or "bomb" in name])
def test_no_answer_takes_more_memory_than_its_limit(name: str) -> None:
    with serving(ANSWERS[name].script) as server, gateway(server) as door:
        tracemalloc.start()
        try:
            outcome(door, a_request())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 25_000_000


@pytest.mark.parametrize("text", ["🎉", "a🎉b👩‍👩‍👧‍👦", "🎉" * 50])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_character_that_is_split_over_two_events_stays_whole(text: str, size: int) -> None:
    units = text.encode("utf-16-le")
    halves = [units[at : at + 2 * size] for at in range(0, len(units), 2 * size)]
    deltas = [
        ("content_block_delta", delta(half.decode("utf-16-le", "surrogatepass"))) for half in halves
    ]
    pieces: list[str] = []
    events = [*good()[:2], *deltas, *good()[3:]]
    with serving(lambda exchange: exchange.stream(*events)) as server, gateway(server) as door:
        found = outcome(door, a_request(), pieces)
    assert isinstance(found, InferenceResult)
    assert found.text == "".join(pieces) == text


@pytest.mark.parametrize("stream", [True, False])
@settings(max_examples=25)
@given(cuts=st.lists(st.integers(1, 40), max_size=8))
@example(cuts=[])
@example(cuts=[1, 2])
def test_a_good_body_is_an_answer_however_it_is_cut(
    door: tuple[WireServer, Gateway], cuts: list[int], *, stream: bool
) -> None:
    """Into pieces of these lengths and the rest; no lengths: one byte at a time."""
    data = wire.sse(*good()) if stream else json.dumps(whole()).encode()
    ends = list(accumulate(cuts)) if cuts else list(range(1, len(data)))

    def script(exchange: wire.Exchange) -> None:
        exchange.start_stream()
        for begin, end in zip([0, *ends], [*ends, None], strict=True):
            exchange.chunk(data[begin:end])
        exchange.chunk(b"")

    server, gate = door
    server.script = script
    found = outcome(gate, a_request())
    assert isinstance(found, InferenceResult)
    assert (found.text, found.usage_problem) == (TEXT, "")


@pytest.mark.parametrize("status", [200, 204, 304, 400, 503])
@pytest.mark.parametrize("extra", [b"x", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"full"])
def test_what_follows_an_answer_is_never_the_answer_of_another_call(
    status: int, extra: bytes
) -> None:
    stolen = wire.sse(*good("stolen"))
    if extra == b"full":
        extra = head(OK, f"content-length: {len(stolen)}") + stolen
    body = b"" if status in {204, 304} else b"{}"
    first = head(f"HTTP/1.1 {status} X", f"content-length: {len(body)}") + body + extra

    def answer(exchange: wire.Exchange) -> None:
        exchange.stream(*good())

    with serving(lambda e: e.send(first), answer) as server, gateway(server) as door:
        outcome(door, a_request())
        found = outcome(door, a_request())
    assert isinstance(found, InferenceResult)
    assert found.text == TEXT


def test_half_a_character_that_stays_alone_is_replaced() -> None:
    events = [*good("x\ud83d")[:3], *good()[3:]]
    with serving(lambda exchange: exchange.stream(*events)) as server, gateway(server) as door:
        found = outcome(door, a_request())
    assert isinstance(found, InferenceResult)
    assert found.text == "x\ufffd"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["text_delta", "text", "end_turn", "tool_use", "error", "message", "canary"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "usage", "delta", "text", "message", "input_tokens", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    items = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)  # type: ignore[assignment]
    for key, part in items:
        yield from _paths(part, (*at, key))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> Any:
    """The same JSON value with up to two parts replaced by others."""
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(list(_paths(value))))
        value = _replaced(value, path, draw(json_values))
    return value


usages = st.lists(st.sampled_from(list(UNASKED.values())), max_size=3).map(
    lambda some: {key: value for part in (USAGE, *some) for key, value in part.items()}
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """The events of an answer: some missing, repeated, out of order, or with other data."""
    events = good(usage=draw(usages), start=draw(usages))
    chosen = draw(st.lists(st.sampled_from(events), min_size=1, max_size=9) | st.just(events))
    sent = []
    for name, data in chosen:
        odd = draw(st.integers(0, 3)) == 0
        kind = draw(st.sampled_from(["", "error", name, "message_stop"])) if odd else name
        sent.append((kind, draw(mutated(data)) if odd else data))
    return b"".join(
        (f"event: {kind}\n" if kind else "").encode() + f"data: {json.dumps(data)}\n\n".encode()
        for kind, data in sent
    )


texts = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30)
header_names = st.sampled_from(
    [
        *("retry-after", "retry-after-ms", "x-should-retry", "request-id", "date", "content-type"),
        *("content-encoding", "anthropic-ratelimit-input-tokens-limit", "x-other"),
        *("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-requests-limit"),
    ]
)
bodies = (
    streams()
    | usages.flatmap(lambda usage: mutated(whole(usage=usage))).map(
        lambda body: json.dumps(body).encode()
    )
    | st.binary(max_size=200)
    | st.binary(max_size=50).map(lambda tail: wire.sse(*good()[:3]) + tail)
)
statuses = st.sampled_from([200] * 6 + [201, 204, 302, 400, 401, 404, 408, 409, 429, 500, 503, 529])


@settings(
    max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(
    status=statuses,
    headers=st.dictionaries(header_names, texts, max_size=4),
    body=bodies,
    stream=st.booleans(),
    cut=st.none() | st.integers(0, 300),
)
@example(
    status=429,
    headers={"retry-after": "Sun, 99 Foo 99999 99:99:99 GMT"},
    body=b"",
    stream=True,
    cut=None,
)
@example(
    status=200, headers={"content-type": "text/html; charset=x"}, body=b"<", stream=True, cut=None
)
def test_no_answer_at_all_escapes_its_verdict_or_its_bound(
    door: tuple[WireServer, Gateway],
    status: int,
    headers: dict[str, str],
    body: bytes,
    cut: int | None,
    *,
    stream: bool,
) -> None:
    lines = [OK.replace("200", str(status)), f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    data = (head(*lines) + body)[:cut]
    server, gate = door

    def script(exchange: wire.Exchange) -> None:
        exchange.send(data)
        exchange.close()

    server.script = script
    found = outcome(gate, a_request(stream=stream))
    if isinstance(found, InferenceError) and found.retryable and found.billing is Billing.NONE:
        assert status >= 400 or b"error" in body
    if isinstance(found, InferenceResult) and not found.usage_problem:
        assert found.usage.output_tokens <= 1_024
        assert 0 < found.usage.prompt_tokens <= len(DOCUMENT) + 1_000


def test_the_usage_of_the_table_is_one_that_is_believed() -> None:
    """Else every case of a wrong usage would pass for another reason."""
    with serving(lambda exchange: exchange.stream(*good())) as server, gateway(server) as door:
        found = outcome(door, a_request())
    assert isinstance(found, InferenceResult)
    assert found.usage_problem == ""
    assert found.usage.output_tokens == USAGE["output_tokens"]
