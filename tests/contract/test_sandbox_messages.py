"""The real SDK reads every answer of the sandbox: it implements the Messages API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import anthropic  # noqa: TID251 - these tests hold the sandbox against the real SDK
import httpx2
import pytest
from pydantic import BaseModel, Field

from tests.contract.sandbox_clients import DOCUMENT, HAIKU, SDK, FakeClock, ask, client
from tests.sandbox_server import SandboxServer, running_sandbox
from workers.sandbox.settings import SandboxSettings

if TYPE_CHECKING:
    from pathlib import Path


def test_creates_a_message(sdk: SDK) -> None:
    response = sdk.messages.with_raw_response.create(**ask())
    message = response.parse()
    assert response.headers["request-id"].startswith("req_")
    assert (message.type, message.role, message.model) == ("message", "assistant", HAIKU)
    assert message.stop_reason == "end_turn"
    assert message.content[0].type == "text"
    assert "dredg" in message.content[0].text.casefold()
    assert message.usage.input_tokens > 20
    assert message.usage.output_tokens > 5


def test_streams_the_real_sequence_with_cumulative_usage(sdk: SDK) -> None:
    whole = sdk.messages.create(**ask())
    events = list(sdk.messages.create(**ask(), stream=True))
    names = [event.type for event in events]
    assert names[:2] == ["message_start", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(names[2:-3]) == {"content_block_delta"}
    assert len(names) > 8
    start = next(e for e in events if e.type == "message_start")
    end = next(e for e in events if e.type == "message_delta")
    assert start.message.usage.input_tokens == whole.usage.input_tokens
    assert start.message.usage.output_tokens == 1
    assert start.message.stop_reason is None
    assert end.usage.output_tokens == whole.usage.output_tokens
    assert end.usage.input_tokens == whole.usage.input_tokens
    assert end.delta.stop_reason == "end_turn"


def test_the_stream_helper_puts_the_same_message_together(sdk: SDK) -> None:
    whole = sdk.messages.create(**ask())
    with sdk.messages.stream(**ask()) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert whole.content[0].type == "text"
    assert text == whole.content[0].text
    assert final.usage.output_tokens == whole.usage.output_tokens


def test_a_stream_holds_pings(server: SandboxServer) -> None:
    body = json.dumps(ask(stream=True)).encode()
    headers = {"x-api-key": "x", "anthropic-version": "2026-10-21"}
    with httpx2.Client() as http:
        raw = http.post(f"{server.url}/v1/messages", content=body, headers=headers).text
    assert "event: ping\ndata: {" in raw


class Triage(BaseModel):
    category: Literal["boats", "money", "other"] = Field(
        description="boats: ferries, channels, dredging; money: invoices, refunds; other: the rest"
    )
    urgent: bool = Field(description="True if it mentions fire or flooding")
    facts: list[str] = Field(min_length=2, max_length=3)
    score: int = Field(ge=1, le=5)


def test_structured_output_obeys_a_pydantic_model(sdk: SDK) -> None:
    parsed = sdk.messages.parse(**ask(), output_format=Triage).parsed_output
    assert parsed is not None
    assert (parsed.category, parsed.urgent) == ("boats", False)
    assert len(parsed.facts) in (2, 3)


def test_structured_output_streams_as_growing_json(sdk: SDK) -> None:
    form = {"type": "json_schema", "schema": anthropic.transform_schema(Triage)}
    with sdk.messages.stream(**ask(output_config={"format": form})) as stream:
        text = "".join(stream.text_stream)
    Triage.model_validate_json(text)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/A"}}}},
        {"type": "object", "properties": []},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}},
    ],
    ids=["any value", "any keys", "recursive", "no schema", "no pattern"],
)
def test_a_schema_that_leaves_its_values_open_is_refused(sdk: SDK, schema: dict[str, Any]) -> None:
    form: Any = {"type": "json_schema", "schema": schema}
    with pytest.raises(anthropic.BadRequestError, match=r"output_config\.format\.schema"):
        sdk.messages.create(**ask(output_config={"format": form}))


def test_count_tokens_agrees_with_the_usage(sdk: SDK) -> None:
    request = ask()
    usage = sdk.messages.create(**request).usage
    request.pop("max_tokens")
    assert sdk.messages.count_tokens(**request).input_tokens == usage.input_tokens


@pytest.mark.parametrize(
    "content", ["plain words " * 40, "漢字かな" * 50, "🎉👩‍👩‍👧" * 30, "1234567890" * 30]
)
def test_input_tokens_stay_below_the_bytes_sent(sdk: SDK, content: str) -> None:
    form = {"type": "json_schema", "schema": anthropic.transform_schema(Triage)}
    request = ask(messages=[{"role": "user", "content": content}], output_config={"format": form})
    usage = sdk.messages.create(**request).usage
    sent = len(json.dumps(request, ensure_ascii=False).encode())
    assert usage.input_tokens <= sent + 200


def test_max_tokens_cuts_the_answer(sdk: SDK) -> None:
    message = sdk.messages.create(**ask(max_tokens=3))
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 3)


def test_a_stop_sequence_stops(sdk: SDK) -> None:
    message = sdk.messages.create(**ask(stop_sequences=["board"]))
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "board")
    assert message.content[0].type == "text"
    assert "board" not in message.content[0].text


WEATHER = {
    "name": "find_weather",
    "description": "Find the weather of a place.",
    "input_schema": {
        "type": "object",
        "properties": {"summary": {"type": "string"}, "unit": {"enum": ["celsius", "kelvin"]}},
        "required": ["summary", "unit"],
    },
}


@pytest.mark.parametrize("stream", [False, True])
def test_a_forced_tool_is_called_with_an_input_of_its_schema(sdk: SDK, *, stream: bool) -> None:
    choice = {"type": "tool", "name": "find_weather"}
    request = ask(system="", tools=[WEATHER], tool_choice=choice)
    if stream:
        with sdk.messages.stream(**request) as events:
            message: anthropic.types.Message = events.get_final_message()
    else:
        message = sdk.messages.create(**request)
    (block,) = message.content
    assert block.type == "tool_use"
    assert (message.stop_reason, block.name) == ("tool_use", "find_weather")
    given: Any = block.input
    assert "dredge" in given["summary"]
    assert given["unit"] in ("celsius", "kelvin")


def test_the_result_of_a_tool_is_read(sdk: SDK) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "find_weather", "input": {}}
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": "Rain in Oslo, 14 degrees",
    }
    talk = [
        {"role": "user", "content": "Report the weather in Oslo."},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    assert "14 degrees" in text_of(sdk, messages=talk, tools=[WEATHER])


def text_of(sdk: SDK, *turns: str, **changes: Any) -> str:
    """Return the answer to turns of a chat that has no system prompt."""
    roles = ("user", "assistant")
    talk = [{"role": roles[at % 2], "content": turn} for at, turn in enumerate(turns)]
    request = ask(**{"system": "", "messages": talk, **changes})
    message: anthropic.types.Message = sdk.messages.create(**request)
    assert message.content[0].type == "text"
    return message.content[0].text


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (("Reply with exactly: pong",), "pong"),
        (("What is the capital of France?",), "I don't know"),
        ((f"Summarise this text:\n\n{DOCUMENT}",), "dredge the north channel"),
        ((f"{DOCUMENT}", "Noted.", "How long will dredging take?"), "14 weeks"),
        ((f"{DOCUMENT}", "Noted.", "Shorten that to one sentence."), "14 weeks"),
    ],
)
def test_a_chat_without_system_prompt_or_schema_is_answered(
    sdk: SDK, turns: tuple[str, ...], expected: str
) -> None:
    assert expected in text_of(sdk, *turns)
    assert text_of(sdk, *turns, tools=[WEATHER]) == text_of(sdk, *turns)


def test_an_image_alone_is_answered(sdk: SDK) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    talk = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    assert text_of(sdk, messages=talk)


HANDBOOK = "The harbour opens at nine. Boats moor on the left. " * 60


def cached(text: str, **changes: Any) -> dict[str, Any]:
    block = {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}
    return ask(system=[block], **changes)


def test_a_prefix_is_written_read_renewed_and_forgotten(sdk: SDK, clock: FakeClock) -> None:
    text = f"{HANDBOOK} written"
    first = sdk.messages.create(**cached(text)).usage
    written = first.cache_creation_input_tokens
    assert written is not None
    assert written > 512
    assert first.cache_creation is not None
    assert first.cache_creation.ephemeral_5m_input_tokens == written
    assert first.cache_read_input_tokens == 0
    clock.now += 299
    other = [{"role": "user", "content": "Something else entirely."}]
    second = sdk.messages.create(**cached(text, messages=other)).usage
    assert (second.cache_read_input_tokens, second.cache_creation_input_tokens) == (written, 0)
    assert second.input_tokens < 30
    clock.now += 299
    assert sdk.messages.create(**cached(text)).usage.cache_read_input_tokens == written
    clock.now += 301
    assert sdk.messages.create(**cached(text)).usage.cache_read_input_tokens == 0


def test_another_model_or_a_changed_prefix_reads_nothing(sdk: SDK) -> None:
    sdk.messages.create(**cached(f"{HANDBOOK} model"))
    for request in (
        cached(f"{HANDBOOK} model", model="claude-sonnet-5-5"),
        cached(f"{HANDBOOK} model."),
    ):
        assert sdk.messages.create(**request).usage.cache_read_input_tokens == 0


def test_a_short_prefix_is_silently_not_cached(sdk: SDK) -> None:
    for _ in range(2):
        usage = sdk.messages.create(**cached("Too short.")).usage
        assert (usage.cache_creation_input_tokens, usage.cache_read_input_tokens) == (0, 0)


def test_a_growing_conversation_reads_its_earlier_part(sdk: SDK) -> None:
    turn: dict[str, Any] = {
        "role": "user",
        "content": [
            {"type": "text", "text": HANDBOOK + "turn", "cache_control": {"type": "ephemeral"}}
        ],
    }
    written = sdk.messages.create(**ask(messages=[turn])).usage.cache_creation_input_tokens
    more: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": HANDBOOK + "turn"}]},
        {"role": "assistant", "content": "Noted."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "And?", "cache_control": {"type": "ephemeral"}}],
        },
    ]
    usage = sdk.messages.create(**ask(messages=more)).usage
    assert usage.cache_read_input_tokens == written
    assert usage.cache_creation_input_tokens
    assert usage.cache_creation_input_tokens > 0


BREAKPOINT = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
FORCED = {
    "tools": [{"name": "t", "input_schema": {"type": "object"}}],
    "tool_choice": {"type": "tool", "name": "t"},
}


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": []},
        {"messages": [{"role": "assistant", "content": "hi"}]},
        {"messages": [{"role": "user", "content": ""}]},
        {"max_tokens": 0},
        {"system": [BREAKPOINT] * 5},
        {"model": "claude-opus-5-5", **FORCED},
        {"model": "claude-sonnet-5-5", **FORCED},
        {"extra_body": {"service_tier": "gold"}},
        {"extra_body": {"temperature": 0.5}},
        {"model": "claude-nope"},
    ],
)
def test_an_invalid_request_is_refused(sdk: SDK, changes: dict[str, Any]) -> None:
    is_unknown = changes.get("model") == "claude-nope"
    with pytest.raises(
        anthropic.NotFoundError if is_unknown else anthropic.BadRequestError
    ) as caught:
        sdk.messages.create(**ask(**changes))
    assert caught.value.type == ("not_found_error" if is_unknown else "invalid_request_error")
    assert (caught.value.request_id or "").startswith("req_")


def test_too_large_a_body_is_413(server: SandboxServer) -> None:
    body = b"x" * (32 * 1024 * 1024 + 1)
    with httpx2.Client() as http:
        answer = http.post(f"{server.url}/v1/messages", content=body)
    assert answer.status_code in (401, 413)
    headers = {"x-api-key": "x", "anthropic-version": "2026-10-21"}
    with httpx2.Client() as http:
        answer = http.post(f"{server.url}/v1/messages", content=body, headers=headers)
    assert answer.status_code == 413
    assert answer.json()["type"] == "error"


def test_needs_a_key_and_a_version(server: SandboxServer) -> None:
    body = json.dumps(ask())
    with httpx2.Client() as http:
        url = f"{server.url}/v1/messages"
        no_key = http.post(url, content=body, headers={"anthropic-version": "x"})
        no_version = http.post(url, content=body, headers={"authorization": "Bearer x"})
    assert (no_key.status_code, no_key.json()["error"]["type"]) == (401, "authentication_error")
    assert no_version.status_code == 400
    assert no_key.headers["request-id"] == no_key.json()["request_id"]


def test_lists_its_models(sdk: SDK) -> None:
    assert HAIKU in [model.id for model in sdk.models.list()]


def test_records_each_call_with_its_attempt(server: SandboxServer, sdk: SDK) -> None:
    usage = sdk.messages.create(**ask(), extra_headers={"x-attempt-id": "a-1"}).usage
    sdk.messages.create(**ask(), extra_headers={"x-attempt-id": "a-2"})
    (call,) = server.ended_calls("a-1")
    assert (call["status"], call["outcome"], call["model"]) == (200, "completed", HAIKU)
    assert call["usage"]["output_tokens"] == usage.output_tokens
    assert call["bytes_received"] > 100
    assert "harbour" not in json.dumps(call)
    with httpx2.Client() as http:
        url = f"{server.url}/sandbox/calls"
        assert len(http.get(url).json()["calls"]) == 2
        assert len(http.get(url, params={"attempt_id": "a-2"}).json()["calls"]) == 1
        assert http.get(url, params={"since": "9999999999"}).json()["calls"] == []
        http.delete(url)
        assert http.get(url).json()["calls"] == []


def test_the_record_file_holds_arrival_and_end(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    with running_sandbox(SandboxSettings(record_file=file)) as server, client(server.url) as sdk:
        sdk.messages.create(**ask(), extra_headers={"x-attempt-id": "kept"})
        server.ended_calls("kept")
        lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["arrived", "ended"]
    assert {line["attempt_id"] for line in lines} == {"kept"}
    assert [line["outcome"] for line in lines] == ["running", "completed"]
