"""The real SDK receives every fault of the sandbox."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import anthropic  # noqa: TID251 - these tests hold the sandbox against the real SDK
import httpx2
import pytest

from tests.contract.sandbox_clients import SDK, ask, client, run
from tests.sandbox_server import SandboxServer
from workers.sandbox.faults import FaultKind

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def impatient(server: SandboxServer) -> Iterator[SDK]:
    with client(server.url, timeout=httpx2.Timeout(30, read=0.4)) as sdk:
        yield sdk


STATUS_FAULTS: dict[str, tuple[type[anthropic.APIStatusError], int, str]] = {
    "rate_limited": (anthropic.RateLimitError, 429, "rate_limit_error"),
    "overloaded": (anthropic.OverloadedError, 529, "overloaded_error"),
    "api_error": (anthropic.InternalServerError, 500, "api_error"),
    "gateway_timeout": (anthropic.GatewayTimeoutError, 504, "timeout_error"),
    "billing": (anthropic.PaymentRequiredError, 402, "billing_error"),
    "credit_too_low": (anthropic.BadRequestError, 400, "invalid_request_error"),
    "usage_limit": (anthropic.BadRequestError, 400, "invalid_request_error"),
    "authentication": (anthropic.AuthenticationError, 401, "authentication_error"),
    "on_hold": (anthropic.BadRequestError, 400, "invalid_request_error"),
    "permission": (anthropic.PermissionDeniedError, 403, "permission_error"),
    "enforced_spend_limit": (anthropic.RateLimitError, 429, "rate_limit_error"),
    "contract_spend_limit": (anthropic.RateLimitError, 429, "rate_limit_error"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", STATUS_FAULTS)
def test_status_faults_raise_their_exception(
    server: SandboxServer, sdk: SDK, kind: str, *, stream: bool
) -> None:
    error, status, name = STATUS_FAULTS[kind]
    server.set_faults({"kind": kind, "times": 1, "retry_after": 7})
    with pytest.raises(error) as caught:
        run(sdk, stream=stream)
    assert (caught.value.status_code, caught.value.type) == (status, name)
    assert caught.value.request_id
    retry_after = caught.value.response.headers.get("retry-after")
    assert retry_after == ("7" if kind == "rate_limited" else None)
    if kind.endswith("spend_limit"):
        assert caught.value.error_code == f"{kind}_reached"
        assert type(caught.value) is not anthropic.RateLimitError
    run(sdk, stream=stream)
    faulted, completed = server.ended_calls()
    assert (faulted["outcome"], faulted["status"]) == (kind, status)
    assert (faulted["usage"], faulted["billed"]) == (None, None)
    assert completed["outcome"] == "completed"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [504, 524])
def test_a_proxy_times_out_with_a_page_of_its_own_and_the_work_is_billed(
    server: SandboxServer, sdk: SDK, status: int, *, stream: bool
) -> None:
    server.set_faults({"kind": "proxy_timeout", "times": 1, "status": status})
    with pytest.raises(anthropic.APIStatusError) as caught:
        run(sdk, stream=stream)
    assert caught.value.status_code == status
    assert caught.value.response.headers["content-type"].startswith("text/html")
    assert (caught.value.type, caught.value.request_id) == (None, None), "no word of the provider"
    run(sdk, stream=stream)
    faulted, completed = server.ended_calls()
    assert (faulted["outcome"], faulted["status"]) == ("proxy_timeout", status)
    assert faulted["usage"]["output_tokens"] == completed["usage"]["output_tokens"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_slow_first_byte_outlasts_the_read_timeout(
    server: SandboxServer, impatient: SDK, *, stream: bool
) -> None:
    server.set_faults({"kind": "slow_first_byte", "seconds": 60})
    with pytest.raises(anthropic.APITimeoutError):
        run(impatient, stream=stream)
    assert server.ended_calls()[0]["outcome"] == "client_gone"


def test_a_stall_strikes_after_the_first_text(
    server: SandboxServer, sdk: SDK, impatient: SDK
) -> None:
    server.set_faults({"kind": "stall", "seconds": 60})
    # Long enough for the first text to come on a busy machine.
    patient = impatient.with_options(timeout=httpx2.Timeout(30, read=3))
    with pytest.raises(httpx2.ReadTimeout):
        list(patient.messages.create(**ask(), stream=True))
    stream = sdk.messages.create(**ask(), stream=True)
    assert [next(stream).type for _ in range(3)][-1] == "content_block_delta"
    stream.close()
    first, second = server.ended_calls()
    assert (first["outcome"], second["outcome"]) == ("client_gone", "client_gone")
    with pytest.raises(anthropic.APITimeoutError):
        run(impatient, stream=False)
    assert len(server.ended_calls()) == 3, "none is left for the record of another test"


def test_a_short_stall_goes_on_afterwards(server: SandboxServer, sdk: SDK) -> None:
    server.set_faults({"kind": "stall", "seconds": 0.05})
    assert run(sdk, stream=True)[-1].type == "message_stop"


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_can_be_cut_before_the_answer(
    server: SandboxServer, sdk: SDK, *, stream: bool
) -> None:
    server.set_faults({"kind": "connection_cut"})
    with pytest.raises(anthropic.APIConnectionError):
        run(sdk, stream=stream)
    (call,) = server.ended_calls()
    assert (call["outcome"], call["status"]) == ("connection_cut", None)


def test_a_connection_can_be_cut_in_mid_stream(server: SandboxServer, sdk: SDK) -> None:
    server.set_faults({"kind": "connection_cut", "after_events": 6})
    stream = sdk.messages.create(**ask(), stream=True)
    seen: list[str] = []
    with pytest.raises(httpx2.RemoteProtocolError):
        seen.extend(event.type for event in stream)
    (call,) = server.ended_calls()
    assert (call["outcome"], call["status"]) == ("connection_cut", 200)


@pytest.mark.parametrize(("after", "deltas"), [(None, 3), (4, 1)])
def test_a_truncated_stream_ends_without_its_last_events(
    server: SandboxServer, sdk: SDK, after: int | None, deltas: int
) -> None:
    server.set_faults({"kind": "stream_truncated", "after_events": after})
    names = [event.type for event in run(sdk, stream=True)]
    assert names.count("content_block_delta") >= deltas
    assert not {"content_block_stop", "message_delta", "message_stop"} & set(names)
    assert server.ended_calls()[0]["outcome"] == "stream_truncated"


@pytest.mark.parametrize("stream", [False, True])
def test_a_garbled_chunk_is_not_json(server: SandboxServer, sdk: SDK, *, stream: bool) -> None:
    server.set_faults({"kind": "garbled_chunk"})
    with pytest.raises(json.JSONDecodeError):
        run(sdk, stream=stream)


def test_an_error_can_arrive_inside_a_stream(server: SandboxServer, sdk: SDK) -> None:
    server.set_faults({"kind": "error_in_stream"})
    stream = sdk.messages.create(**ask(), stream=True)
    assert next(stream).type == "message_start"
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(stream)
    assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [("refusal", "refusal"), ("max_tokens", "max_tokens"), ("empty_content", "end_turn")],
)
def test_faults_of_content_come_with_200(
    server: SandboxServer, sdk: SDK, kind: str, reason: str, *, stream: bool
) -> None:
    whole = sdk.messages.create(**ask())
    server.set_faults({"kind": kind})
    if stream:
        with sdk.messages.stream(**ask()) as events:
            message: anthropic.types.Message = events.get_final_message()
    else:
        message = sdk.messages.create(**ask())
    assert message.stop_reason == reason
    if kind == "max_tokens":
        assert message.usage.output_tokens < whole.usage.output_tokens
    else:
        assert message.content == []


@pytest.mark.parametrize("shape", ["invalid_json", "wrong_shape"])
def test_malformed_output_strikes_structured_calls_only(
    server: SandboxServer, sdk: SDK, shape: str
) -> None:
    schema = {"type": "object", "properties": {"summary": {"type": "string"}}}
    config = {"format": {"type": "json_schema", "schema": schema}}
    server.set_faults({"kind": "malformed_output", "shape": shape})
    block = run(sdk, stream=False, output_config=config).content[0]
    if shape == "invalid_json":
        with pytest.raises(json.JSONDecodeError):
            json.loads(block.text)
    else:
        assert not isinstance(json.loads(block.text), dict)
    assert "channel" in run(sdk, stream=False).content[0].text


CUT: dict[str, dict[str, Any]] = {
    "connection_cut": {"kind": "connection_cut", "after_events": 1},
    "stream_truncated": {"kind": "stream_truncated", "after_events": 1},
    "error_in_stream": {"kind": "error_in_stream", "after_events": 1},
    "client_gone": {"kind": "stall", "after_events": 1, "seconds": 60},
    "client_gone before the first byte": {"kind": "slow_first_byte", "seconds": 60},
}


@pytest.mark.parametrize("fault", CUT)
def test_a_cut_answer_is_billed_in_full(
    server: SandboxServer, sdk: SDK, impatient: SDK, fault: str
) -> None:
    run(sdk, stream=True)
    server.set_faults(CUT[fault])
    with contextlib.suppress(anthropic.APIError, httpx2.TransportError):
        run(impatient if fault.startswith("client_gone") else sdk, stream=True)
    whole, cut = server.ended_calls()
    assert cut["outcome"] == fault.split(maxsplit=1)[0]
    assert cut["usage"] == cut["billed"] == whole["billed"]
    assert whole["billed"]["output_tokens"] > 10


def test_an_error_event_before_the_answer_is_not_billed(server: SandboxServer, sdk: SDK) -> None:
    server.set_faults({"kind": "error_in_stream", "after_events": 0})
    with pytest.raises(anthropic.APIStatusError):
        run(sdk, stream=True)
    (call,) = server.ended_calls()
    assert (call["usage"], call["billed"]) == (None, None)


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_without_output_reports_its_usage_and_is_not_billed(
    server: SandboxServer, sdk: SDK, *, stream: bool
) -> None:
    server.set_faults({"kind": "refusal"}, {"kind": "empty_content"})
    run(sdk, stream=stream)
    (call,) = server.ended_calls()
    assert call["usage"]["input_tokens"] > 0
    assert call["billed"] is None


def test_every_kind_of_fault_is_driven_here() -> None:
    elsewhere = {
        "proxy_timeout", "slow_first_byte", "stall", "connection_cut", "stream_truncated",
        "garbled_chunk", "error_in_stream", "malformed_output", "refusal", "max_tokens",
        "empty_content",
    }  # fmt: skip
    assert set(FaultKind) == set(STATUS_FAULTS) | elsewhere
