"""No call costs more than was reserved for it: usage against bound, call by call.

Against the sandbox always; against the provider itself when LIVE_ANTHROPIC_API_KEY is set, which
costs about a cent. Only that can show that the allowances for what the provider adds suffice.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel, Field

from aifeature import registry
from tests.sandbox_server import running_sandbox
from workers.inference import (
    AnthropicClient,
    Cancel,
    Gateway,
    InferenceError,
    InferenceRequest,
    Message,
    TextBlock,
    TokenUsage,
    catalog,
    pricing,
)
from workers.inference.client import schema_bytes

LIVE_KEY = os.environ.get("LIVE_ANTHROPIC_API_KEY", "")

TEXTS = {
    "words": "The refund is paid within 30 days to the card that was charged. " * 20,
    "one letter": "x",
    "digits": "0123456789 " * 200,
    "Chinese": "课程平台于三月三日将账单迁移到新的供应商。" * 40,
    "Arabic": "انتقلت منصة الدورات إلى مزود فوترة جديد في الثالث من مارس. " * 20,
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈" * 100,
    "combining": "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞" * 60,
    "code": "def f(x):\n\treturn {'a': [x ** 2, ~x]}  # ←\n" * 40,
    "white space": " \n\t" * 400,
}


class Deep(BaseModel):
    """A schema with nesting, limits and long descriptions."""

    items: list[dict[str, int]] = Field(max_length=9, description="Each item, named. " * 20)
    note: str | None = Field(default=None, max_length=400, description="Anything else. " * 20)


SCHEMAS: dict[str, dict[str, Any] | None] = {
    "no schema": None,
    "a feature's": registry.get("summarize").output_schema,
    "a deep one": Deep.model_json_schema(),
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_sandbox() as server:
        made = Gateway(AnthropicClient(api_key="k", base_url=server.url))
        yield made
        made.close()


@pytest.fixture(scope="module")
def provider() -> Iterator[Gateway]:
    made = Gateway(AnthropicClient(api_key=LIVE_KEY))
    yield made
    made.close()


def request(model: str, text: str, schema: dict[str, Any] | None, **more: Any) -> InferenceRequest:
    values: dict[str, Any] = {
        "attempt_id": uuid4(),
        "model": model,
        "system": (TextBlock("Summarise the document in two sentences.", cache=True),),
        "messages": (Message("user", (TextBlock(f"<document>{text}</document>"),)),),
        "max_tokens": 400,
        "output_schema": schema,
        "deadline_s": 60.0,
        **more,
    }
    return InferenceRequest(**values)


def usage_fits(gateway: Gateway, sent: InferenceRequest) -> None:
    """Make the call and hold its usage and cost against what was reserved."""
    usage, cost = billed(gateway, sent)
    bound = pricing.prompt_bound_tokens(sent, schema_bytes=schema_bytes(sent))
    assert 0 < usage.prompt_tokens <= bound
    assert usage.output_tokens <= sent.max_tokens
    assert 0 < cost <= gateway.upper_bound_micro(sent)


def billed(gateway: Gateway, sent: InferenceRequest) -> tuple[TokenUsage, int]:
    """What a call used and cost; a complete answer that is no good is billed as well."""
    try:
        result = gateway.infer(sent, cancel=Cancel())
    except InferenceError as error:
        if error.usage is None or error.cost_micro is None:
            raise
        return error.usage, error.cost_micro
    return result.usage, result.cost_micro


@pytest.mark.parametrize("model", catalog.known_models())
@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("text", TEXTS)
def test_no_sandbox_call_exceeds_its_bound(
    gateway: Gateway, model: str, schema: str, text: str
) -> None:
    usage_fits(gateway, request(model, TEXTS[text], SCHEMAS[schema]))


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_fits_its_bound(gateway: Gateway, stream: bool) -> None:
    turns = (
        Message("user", (TextBlock(TEXTS["words"]),)),
        Message("assistant", (TextBlock('{"summary": 1}'),)),
        Message("user", (TextBlock("That does not fit the schema: summary is no text."),)),
    )
    sent = request("claude-haiku-5-5", "", None, messages=turns, stream=stream)
    usage_fits(gateway, sent)


def test_a_prompt_across_the_price_tier_fits_its_bound(gateway: Gateway) -> None:
    """Haiku costs five times as much from 100,001 tokens on."""
    words = " ".join(f"word{number}" for number in range(120_000))
    usage_fits(gateway, request("claude-haiku-5-5", words, None))


@pytest.mark.skipif(not LIVE_KEY, reason="LIVE_ANTHROPIC_API_KEY is not set")
@pytest.mark.enable_socket
@pytest.mark.parametrize("model", catalog.known_models())
@pytest.mark.parametrize("schema", SCHEMAS)
def test_no_live_call_exceeds_its_bound(provider: Gateway, model: str, schema: str) -> None:
    usage_fits(provider, request(model, TEXTS["Chinese"], SCHEMAS[schema]))
