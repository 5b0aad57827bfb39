"""Each broken answer gets a verdict and a bill within its bound from the real client."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests import mutated_answers, wire
from tests.broken_answers import (
    ANSWERS,
    OK,
    TEXT,
    USAGE,
    Broken,
    Then,
    delta,
    good,
    head,
    whole,
)
from tests.provider_calls import a_request, gateway, user
from tests.wire import WireServer, serving
from workers.inference import (
    AnswerGarbled,
    AnswerUnusable,
    Billing,
    Cancel,
    Gateway,
    InferenceError,
    InferenceResult,
    Permanent,
    TextBlock,
    Transient,
)

pytestmark = pytest.mark.slow

DOCUMENT = "The course platform moved its billing to a new provider on 3 March 2026. " * 40

KINDS: dict[Then, type[InferenceError]] = {
    Then.GARBLED: AnswerGarbled,
    Then.UNUSABLE: AnswerUnusable,
    Then.CUT: Transient,
    Then.TURNED_AWAY: Transient,
    Then.REFUSED: Permanent,
}


REQUEST = a_request(
    messages=user(DOCUMENT), system=(TextBlock("You summarise."),), max_tokens=1_024
)


def outcome(
    door: Gateway, on_delta: Callable[[str], None] | None = None, *, stream: bool = True
) -> InferenceResult | InferenceError:
    """Return the result or error of a call. Its bill holds, and every exception is one of ours."""
    request = replace(REQUEST, stream=stream)
    bound = door.upper_bound_micro(request)
    try:
        result = door.infer(request, cancel=Cancel(), on_delta=on_delta)
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
        found = outcome(door)
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
            outcome(door)
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
        found = outcome(door, pieces.append)
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
    headers = {} if stream else {"content-type": "application/json"}
    ends = list(accumulate(cuts)) if cuts else list(range(1, len(data)))

    def script(exchange: wire.Exchange) -> None:
        exchange.start_stream(headers)
        for begin, end in zip([0, *ends], [*ends, None], strict=True):
            exchange.chunk(data[begin:end])
        exchange.chunk(b"")

    server, gate = door
    server.script = script
    found = outcome(gate, stream=stream)
    assert isinstance(found, InferenceResult)
    assert (found.text, found.usage_problem) == (TEXT, "")


@pytest.mark.parametrize("status", [200, 204, 304, 400, 503])
@pytest.mark.parametrize("extra", [b"x", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"full"])
def test_bytes_after_an_answer_are_never_the_answer_of_another_call(
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
        outcome(door)
        found = outcome(door)
    assert isinstance(found, InferenceResult)
    assert found.text == TEXT


def test_half_a_character_that_stays_alone_is_replaced() -> None:
    events = [*good("x\ud83d")[:3], *good()[3:]]
    with serving(lambda exchange: exchange.stream(*events)) as server, gateway(server) as door:
        found = outcome(door)
    assert isinstance(found, InferenceResult)
    assert found.text == "x\ufffd"


@settings(
    max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(
    status=mutated_answers.statuses,
    headers=mutated_answers.headers,
    body=mutated_answers.bodies,
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
    found = outcome(gate, stream=stream)
    if isinstance(found, InferenceError) and found.retryable and found.billing is Billing.NONE:
        assert status >= 400 or b"error" in body
    if isinstance(found, InferenceResult) and not found.usage_problem:
        assert found.usage.output_tokens <= 1_024
        assert 0 < found.usage.prompt_tokens <= len(DOCUMENT) + 1_000


def test_the_usage_of_the_table_is_trusted() -> None:
    """Otherwise every case of a wrong usage would pass for another reason."""
    with serving(lambda exchange: exchange.stream(*good())) as server, gateway(server) as door:
        found = outcome(door)
    assert isinstance(found, InferenceResult)
    assert found.usage_problem == ""
    assert found.usage.output_tokens == USAGE["output_tokens"]
