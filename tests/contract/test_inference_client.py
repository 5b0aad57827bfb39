"""The client against a real socket: the requests it sends, and the answers it returns."""

from __future__ import annotations

import logging
import threading
from typing import Any
from uuid import UUID

import pytest

from tests import wire
from tests.provider_calls import a_request, failure, gateway, infer, user
from tests.wire import Exchange, serving
from workers.inference import (
    AnthropicClient,
    Billing,
    NotPriced,
    TextBlock,
    TokenUsage,
)


@pytest.mark.parametrize("stream", [True, False])
def test_a_complete_answer_with_usage_of_four_kinds_and_its_cost(*, stream: bool) -> None:
    with serving(wire.answer) as server, gateway(server) as door:
        result = infer(door, stream=stream)
    assert result.text == "Hello"
    assert result.stop_reason == "end_turn"
    assert result.model == "claude-haiku-5-5-20261001"
    assert result.usage == TokenUsage(11, 9, 5, 3)
    # 11 x 0.10 + 9 x 0.50 + 5 x 0.01 + 3 x 0.125 = 6.025
    assert result.cost_micro == 7
    assert result.request_id == "req_1"
    assert (result.ttft_ms is not None) is stream


def test_deltas_reach_the_sink_in_the_calling_thread() -> None:
    seen: list[tuple[str, int]] = []
    with serving(wire.answer) as server, gateway(server) as door:
        infer(door, on_delta=lambda text: seen.append((text, threading.get_ident())))
    assert seen == [("Hel", threading.get_ident()), ("lo", threading.get_ident())]


def test_a_sink_that_fails_ends_the_call_with_its_own_error() -> None:
    def sink(text: str) -> None:
        raise ValueError(text)

    with serving(wire.answer) as server, gateway(server) as door:
        with pytest.raises(ValueError, match="Hel"):
            infer(door, on_delta=sink)
        assert infer(door).text == "Hello"


def test_the_request_as_it_is_sent() -> None:
    attempt = UUID(int=7)
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    with serving(wire.answer) as server, gateway(server) as door:
        system = (TextBlock("You help."), TextBlock("A long handbook.", cache=True))
        infer(door, attempt_id=attempt, output_schema=schema, system=system)
    (sent,) = server.requests
    assert sent.headers["x-attempt-id"] == str(attempt)
    assert sent.headers["accept-encoding"] == "gzip"
    assert sent.headers["authorization"] == "Bearer sk-test"
    assert sent.body["system"] == [
        {"type": "text", "text": "You help."},
        {"type": "text", "text": "A long handbook.", "cache_control": {"type": "ephemeral"}},
    ]
    assert sent.body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    assert sent.body["service_tier"] == "standard_only"
    fmt = sent.body["output_config"]["format"]
    assert fmt["type"] == "json_schema"
    assert fmt["schema"]["additionalProperties"] is False
    assert fmt["schema"]["properties"]["n"]["type"] == "integer"
    assert "minimum" not in fmt["schema"]["properties"]["n"]


def test_rate_limit_headers_come_along() -> None:
    def script(exchange: Exchange) -> None:
        limits = {"anthropic-ratelimit-requests-remaining": "3", "x-other": "no"}
        exchange.reply(wire.message("Hello"), headers=limits)

    with serving(script) as server, gateway(server) as door:
        result = infer(door, stream=False)
    assert result.rate_limits == {"anthropic-ratelimit-requests-remaining": "3"}


def test_an_empty_key_is_refused_even_if_the_environment_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from-the-environment")
    with pytest.raises(ValueError, match="api_key"):
        AnthropicClient(api_key="")


def test_the_environment_changes_neither_address_nor_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "from-the-environment")
    with serving(wire.answer) as server, gateway(server) as door:
        assert infer(door).text == "Hello"
    assert server.requests[0].headers["authorization"] == "Bearer sk-test"
    client = AnthropicClient(api_key="sk-test")
    assert client._sdk.base_url.host == "api.anthropic.com"
    client.close()


def test_nothing_of_a_prompt_is_logged_at_debug_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(wire.answer) as server, gateway(server) as door:
        logging.getLogger("proof").debug("the log is captured")
        infer(door, messages=user("canary-7351"))
    assert "canary-7351" in str(server.requests[0].body)
    assert "is captured" in caplog.text
    assert "canary-7351" not in caplog.text
    assert "sk-test" not in caplog.text


def test_an_unpriced_model_is_refused_unsent() -> None:
    with serving(wire.answer) as server, gateway(server) as door:
        error = failure(door, model="claude-unheard-of")
        assert isinstance(error, NotPriced)
        assert error.billing is Billing.NONE
        with pytest.raises(NotPriced):
            door.upper_bound_micro(a_request(model="claude-unheard-of"))
    assert server.requests == []


def test_connections_are_used_again(secure: tuple[Any, Any]) -> None:
    theirs, ours = secure
    with (
        serving(wire.answer, tls=theirs) as server,
        gateway(server, ssl_context=ours) as door,
    ):
        for stream in (True, False, True):
            infer(door, stream=stream)
    assert [exchange.connection for exchange in server.requests] == [0, 0, 0]
