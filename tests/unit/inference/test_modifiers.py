"""Modifiers in a usage report enter the cost, and never raise it above its bound."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from anthropic.types import Usage  # noqa: TID251 - the SDK lists the fields of usage
from genai_prices.types import (
    ConditionalPrice,
    StartDateConstraint,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.provider_calls import a_request
from tests.unit.inference.conftest import PutPrices, priced
from workers.inference import catalog, modifiers, pricing
from workers.inference.answer import Answer
from workers.inference.client import RawAnswer
from workers.inference.gateway import Gateway
from workers.inference.types import Cancel, InferenceRequest, TokenUsage
from workers.inference.usage import TokenBound

OPUS = "claude-opus-5-5"
COUNTS = {
    "input_tokens": 100,
    "output_tokens": 100,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 100,
}
PLAIN_MICRO = 400 + 2_000 + 20 + 500
"""Of COUNTS on Opus, at 4, 20, 0.20 and 5 dollars per million."""


def read(**reported: Any) -> TokenUsage:
    """The usage of a whole answer."""
    answer = Answer(TokenBound(prompt=10_000, output=10_000), max_text=1_000)
    body = {
        "type": "message",
        "model": OPUS,
        "content": [],
        "stop_reason": "end_turn",
        "usage": {**COUNTS, **reported},
    }
    answer.read_message(json.dumps(body).encode())
    return answer.usage


@pytest.mark.parametrize(
    ("reported", "micro"),
    [
        ({}, PLAIN_MICRO),
        ({"inference_geo": None, "service_tier": None, "speed": None}, PLAIN_MICRO),
        ({"inference_geo": "global", "service_tier": "standard", "speed": "standard"}, PLAIN_MICRO),
        ({"inference_geo": "not_available"}, PLAIN_MICRO),
        ({"inference_geo": "us"}, PLAIN_MICRO * 11 // 10),
        ({"inference_geo": "eu"}, PLAIN_MICRO * 11 // 10),
        ({"service_tier": "priority"}, PLAIN_MICRO * 3 // 2),
        ({"service_tier": "batch"}, PLAIN_MICRO // 2),
        ({"speed": "fast"}, PLAIN_MICRO * 2),
        ({"speed": "fast", "inference_geo": "us"}, PLAIN_MICRO * 22 // 10),
        ({"service_tier": "batch", "inference_geo": "us"}, PLAIN_MICRO * 55 // 100),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 100}}, PLAIN_MICRO + 300),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 40}}, PLAIN_MICRO + 120),
        ({"server_tool_use": {"web_search_requests": 3}}, PLAIN_MICRO + 30_000),
        ({"output_tokens_details": {"thinking_tokens": 50}}, PLAIN_MICRO),
    ],
    ids=str,
)
def test_each_modifier_enters_the_cost(reported: dict[str, Any], micro: int) -> None:
    assert pricing.cost_micro(OPUS, read(**reported)) == micro


def test_every_field_that_the_sdk_names_was_looked_at() -> None:
    """A new one may change the price: it must be entered here or in modifiers.py."""
    assert set(Usage.model_fields) == {
        *COUNTS,
        *("cache_creation", "inference_geo", "server_tool_use", "service_tier", "speed"),
        "output_tokens_details",  # a part of output_tokens
    }


JUNK = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.lists(st.none()),
)
ANY = st.dictionaries(
    st.sampled_from(
        ["inference_geo", "service_tier", "speed", "cache_creation", "server_tool_use"]
    ),
    JUNK
    | st.sampled_from(["us", "priority", "batch", "fast", "standard"])
    | st.dictionaries(st.sampled_from(["ephemeral_1h_input_tokens", "web_search_requests"]), JUNK),
)


@given(ANY)
def test_no_value_of_a_modifier_breaks_an_answer(reported: dict[str, Any]) -> None:
    assert pricing.cost_micro(OPUS, read(**reported)) >= PLAIN_MICRO // 2


@given(st.sampled_from(catalog.known_models()), st.sampled_from(["us", "eu", "global", 7]))
def test_the_bound_covers_regional_inference(model: str, geo: object) -> None:
    """At the most tokens, so without any slack."""
    request = a_request(model=model, max_tokens=1000)
    prompt = pricing.prompt_bound_tokens(request)
    full = TokenUsage(0, 1000, 0, prompt)
    usage = modifiers.reported(full, {"inference_geo": geo}, TokenUsage())
    assert pricing.cost_micro(model, usage) <= pricing.upper_bound_micro(request)


class Client:
    """Answers with a usage."""

    def __init__(self, usage: TokenUsage) -> None:
        self.usage = usage

    def complete(self, request: InferenceRequest, **_: Any) -> RawAnswer:
        assert request.max_tokens
        return RawAnswer("Hi.", "end_turn", OPUS, self.usage, None, {}, 1, None)

    def close(self) -> None:
        pass


@given(ANY, st.integers(0, 100))
def test_no_report_brings_a_cost_past_its_bound(reported: dict[str, Any], output: int) -> None:
    """A cost above its bound stops the feature for all users."""
    request = a_request(model=OPUS)
    prompt = pricing.prompt_bound_tokens(request)
    usage = modifiers.reported(TokenUsage(0, output, 0, prompt), reported, TokenUsage())
    door = Gateway(Client(usage))
    assert door.infer(request, cancel=Cancel()).cost_micro <= door.upper_bound_micro(request)


def test_a_stream_keeps_what_its_beginning_reported() -> None:
    answer = Answer(TokenBound(prompt=10_000, output=10_000), max_text=1_000)
    start = {**COUNTS, "inference_geo": "us", "output_tokens": 1}
    message = {"model": OPUS, "usage": start}
    answer.read_event("message_start", json.dumps({"message": message}))
    end = {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 100}}
    answer.read_event("message_delta", json.dumps(end))
    assert pricing.cost_micro(OPUS, answer.usage) == PLAIN_MICRO * 11 // 10


def test_a_cut_answer_counts_at_the_price_its_beginning_reported() -> None:
    usage = read(inference_geo="us")
    plain = pricing.ceiling_micro(a_request(model=OPUS), read())
    assert plain is not None
    assert pricing.ceiling_micro(a_request(model=OPUS), usage) == math.ceil(plain * Decimal("1.1"))


# Prices with a start date


@pytest.fixture
def _doubles_in_december(put_prices: PutPrices) -> None:
    put_prices(
        [
            ConditionalPrice(prices=priced(1)),
            ConditionalPrice(StartDateConstraint(date(2026, 12, 1)), prices=priced(2)),
        ]
    )


MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.usefixtures("_doubles_in_december")
def test_one_process_charges_a_new_price_from_midnight_on() -> None:
    moment = MIDNIGHT - timedelta(seconds=1)
    door = Gateway(Client(TokenUsage(0, 100)), clock=lambda: moment)
    request = a_request(model=OPUS, deadline_s=0.5)
    before = door.infer(request, cancel=Cancel()).cost_micro, door.upper_bound_micro(request)
    moment = MIDNIGHT
    after = door.infer(request, cancel=Cancel()).cost_micro, door.upper_bound_micro(request)
    assert (before[0], after[0]) == (100, 200)
    assert 2 * before[1] - 1 <= after[1] <= 2 * before[1]


@given(st.integers(0, 120), st.integers(0, 120))
def test_a_call_over_midnight_is_bound_at_the_dearer_price(before_s: int, deadline_s: int) -> None:
    """It may be reserved before midnight and sent, or billed, after it."""
    prices = {
        True: (pricing.Rates(0, *[Decimal(2)] * 4),),
        False: (pricing.Rates(0, *[Decimal(1)] * 4),),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pricing, "price_list", lambda _, *, at, **__: prices[at >= MIDNIGHT])
        at = MIDNIGHT - timedelta(seconds=before_s)
        request = a_request(model=OPUS, deadline_s=float(deadline_s))
        bound = pricing.upper_bound_micro(request, at=at)
        dear = pricing.upper_bound_micro(request, at=MIDNIGHT)
        assert (bound == dear) is (deadline_s >= before_s)
