"""No call costs more than its reservation, and a call that is cut off costs at most its ceiling.

The figures are compared with independent ones: token counts of real tokenizers, values computed by
hand from the published prices, and the price list's own calculation. If LIVE_ANTHROPIC_API_KEY is
set, they are also compared with the provider, for about a cent. Only that shows whether the
allowances for the text that the provider adds suffice.
"""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest
from genai_prices import Usage, calc_price
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from aifeature import registry
from tests.contract.tokenized_texts import TOKENIZED, text_of
from tests.provider_calls import HAIKU, a_request, user
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
    modifiers,
    pricing,
    tokens,
)
from workers.inference.client import schema_bytes
from workers.inference.rate_gate import RateGate

LIVE_KEY = os.environ.get("LIVE_ANTHROPIC_API_KEY", "")

SONNET, OPUS = "claude-sonnet-5-5", "claude-opus-5-5"


@pytest.mark.parametrize("name", TOKENIZED)
def test_the_tokens_of_a_text_are_within_its_bounds_with_any_tokenizer(name: str) -> None:
    counts = TOKENIZED[name][2]
    # SentencePiece puts one space in front of a text: the allowance for a block holds it.
    assert max(counts) <= tokens.most_tokens(text_of(name)) + 1
    assert pricing.MESSAGE_OVERHEAD_TOKENS >= 1
    assert tokens.least_tokens(text_of(name)) <= min(counts)


@given(st.text(max_size=50), st.sampled_from([1, 3_000, 9_001]))
def test_the_bound_of_a_text_covers_its_bytes_and_those_of_its_normal_form(
    text: str, length: int
) -> None:
    text = (text * length)[:length]
    bound = tokens.most_tokens(text)
    assert bound >= len(text.encode())
    assert bound >= len(unicodedata.normalize("NFKC", text).encode())


def test_half_a_surrogate_has_a_bound() -> None:  # which is read before the request is refused
    assert tokens.most_tokens("\ud800") == 3


# 571 tokens: 512 before every prompt, 9 + 16 of the system block, 16 of the message, 2 + 16 of its
# block. Dollars per million, in the order input (dearest: cache write) and output: haiku 0.125 and
# 0.50, five times that above 100,000 tokens; sonnet 2.50 and 10; opus 5 and 20.
BOUNDS: dict[str, tuple[InferenceRequest, int]] = {
    "haiku": (a_request(), 122),  # 571 x 0.125 + 100 x 0.50 = 121.375
    "sonnet": (a_request(model=SONNET), 2_428),  # 571 x 2.50 + 100 x 10
    "opus": (a_request(model=OPUS), 4_855),  # 571 x 5 + 100 x 20
    "longer answer": (a_request(model=OPUS, max_tokens=101), 4_875),
    "no system": (a_request(model=OPUS, system=()), 4_730),  # 25 tokens less
    "two blocks": (  # 3 + 16 tokens more
        a_request(model=OPUS, system=(TextBlock("You help."), TextBlock("Yes"))),
        4_950,
    ),
    "two turns": (  # 16 + 3 + 16 tokens more
        a_request(model=OPUS, messages=(*user("Hi"), Message("assistant", (TextBlock("Yes"),)))),
        5_030,
    ),
    "U+FDFA": (a_request(model=OPUS, messages=user("\ufdfa")), 5_010),  # 33 bytes, where Hi has 2
    "100,000 tokens on haiku": (a_request(messages=user("x" * 99_431)), 12_550),
    "100,001 tokens on haiku": (  # 100,001 x 0.625 + 100 x 2.50
        a_request(messages=user("x" * 99_432)),
        62_751,
    ),
    "long on haiku": (a_request(messages=user("x" * 100_000)), 63_106),  # 100,569 x 0.625 + 250
    "390 kB on sonnet": (a_request(model=SONNET, messages=user("x" * 390_000)), 977_423),
    "beyond the window": (a_request(model=SONNET, messages=user("x" * 2_000_000)), 2_501_000),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_the_bound_follows_from_the_published_prices(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modifiers, "REGIONAL", 1)  # tested in test_modifiers.py
    request, micro = BOUNDS[name]
    assert pricing.upper_bound_micro(request, schema_bytes=schema_bytes(request)) == micro


def test_a_schema_counts_with_the_instructions_that_it_adds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(modifiers, "REGIONAL", 1)
    with_schema = a_request(model=OPUS, output_schema={"type": "object"})
    # 571 + 1,024 + 70 tokens at 5, and 100 x 20.
    assert pricing.upper_bound_micro(with_schema, schema_bytes=70) == 10_325


class SpyGate:
    """Stores the tokens of the call that it admits."""

    def __init__(self) -> None:
        self.input_tokens = 0

    def admit(self, *, input_tokens: int, **_: Any) -> None:
        self.input_tokens = input_tokens


def test_the_gateway_counts_the_schema_for_the_ledger_and_for_the_gate() -> None:
    sent = a_request(output_schema=Deep.model_json_schema())
    size, gate = schema_bytes(sent), SpyGate()
    assert size > 1_000
    door = Gateway(AnthropicClient(api_key="k"), gate=cast("RateGate", gate))
    assert door.upper_bound_micro(sent) == pricing.upper_bound_micro(sent, schema_bytes=size)
    door.admit(sent, user=None, booked=False)
    assert gate.input_tokens == pricing.prompt_bound_tokens(sent, schema_bytes=size)
    door.close()


class Deep(BaseModel):
    """A schema with nesting, limits and long descriptions."""

    items: list[dict[str, int]] = Field(max_length=9, description="Each item, named. " * 20)
    note: str | None = Field(default=None, max_length=400, description="Anything else. " * 20)


def described(text: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"n": {"type": "string", "description": text}},
        "required": ["n"],
    }


PARTS: dict[str, Callable[[str], InferenceRequest]] = {
    "system": lambda text: a_request(system=(TextBlock(text),)),
    "second system block": lambda text: a_request(system=(TextBlock("a"), TextBlock(text))),
    "message": lambda text: a_request(messages=user(text)),
    "second block of a message": lambda text: a_request(
        messages=(Message("user", (TextBlock("a"), TextBlock(text))),)
    ),
    "later turn": lambda text: a_request(messages=(*user("a"), *user("b"), *user(text))),
    "schema": lambda text: a_request(output_schema=described(text)),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("text", ["x" * 1_000, "é" * 500, "\ufdfa" * 100])
def test_each_part_of_a_request_raises_its_bound_by_all_that_it_can_cost(
    part: str, text: str
) -> None:
    shorter, longer = PARTS[part](""), PARTS[part](text)
    before = pricing.prompt_bound_tokens(shorter, schema_bytes=schema_bytes(shorter))
    after = pricing.prompt_bound_tokens(longer, schema_bytes=schema_bytes(longer))
    assert after - before >= len(unicodedata.normalize("NFKC", text).encode())


LONG = "The refund is paid within thirty days. " * 10_000


@pytest.mark.parametrize(
    ("model", "reported", "max_tokens", "micro"),
    [
        (HAIKU, TokenUsage(11, 1, 5, 3), 1_000, 502),  # 1.1 + 0.05 + 0.375 + 500
        (HAIKU, TokenUsage(100_000, 1), 1_000, 10_500),
        (HAIKU, TokenUsage(100_001, 1), 1_000, 52_501),  # 50,000.5 + 2,500: the dearer tier
        (SONNET, TokenUsage(97_500, 1), 1_024, 205_240),  # 195,000 + 10,240
        (SONNET, TokenUsage(500, 1, 97_000, 0), 1_024, 20_940),  # 1,000 + 9,700 + 10,240
        (OPUS, TokenUsage(500, 1, 0, 97_000), 1_024, 507_480),  # 2,000 + 485,000 + 20,480
        (OPUS, TokenUsage(500, 2_000), 1_024, 42_000),  # more output than was allowed
    ],
)
def test_the_ceiling_follows_from_the_published_prices(
    model: str, reported: TokenUsage, max_tokens: int, micro: int
) -> None:
    request = a_request(model=model, max_tokens=max_tokens)
    assert pricing.ceiling_micro(request, reported) == micro


COUNTS = st.one_of(st.integers(0, 300), st.integers(99_990, 100_010), st.integers(0, 300_000))


@given(
    model=st.sampled_from(catalog.known_models()),
    uncached=st.integers(1, 200_000),
    read=COUNTS,
    write=COUNTS,
    max_tokens=st.integers(1, 128_000),
    share=st.fractions(0, 1),
)
def test_no_answer_is_dearer_than_the_ceiling_of_its_beginning(
    *, model: str, uncached: int, read: int, write: int, max_tokens: int, share: Any
) -> None:
    reported = TokenUsage(uncached, 1, read, write)
    ceiling = pricing.ceiling_micro(a_request(model=model, max_tokens=max_tokens), reported)
    assert ceiling is not None
    assert ceiling == math.ceil(listed(model, replace(reported, output_tokens=max_tokens)))
    written = replace(reported, output_tokens=math.floor(max_tokens * share))
    assert listed(model, written) <= ceiling


def listed(model: str, usage: TokenUsage) -> Decimal:
    """Micro-dollars by the price list's own calculation."""
    price = calc_price(
        Usage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
        ),
        model,
        provider_id="anthropic",
    )
    return price.total_price * 1_000_000


@pytest.mark.parametrize("name", TOKENIZED)
@pytest.mark.parametrize("model", catalog.known_models())
def test_a_true_ceiling_lies_below_the_bound(model: str, name: str) -> None:
    request = a_request(model=model, system=(), messages=user(text_of(name)))
    bound = pricing.upper_bound_micro(request)
    for count in TOKENIZED[name][2]:
        ceiling = pricing.ceiling_micro(request, TokenUsage(0, 1, 0, count + 20))
        assert ceiling is not None
        assert ceiling <= bound


@pytest.mark.parametrize("reported", [0, 1, 20_000])
def test_a_report_too_small_for_its_prompt_gives_no_ceiling(reported: int) -> None:
    request = a_request(messages=user(LONG))
    assert pricing.ceiling_micro(request, TokenUsage(reported, 1)) is None
    assert pricing.ceiling_micro(request, TokenUsage(0, 1, reported, 0)) is None


@pytest.mark.parametrize("part", sorted(PARTS.keys() - {"schema"}))
def test_every_text_of_a_request_belongs_to_the_prompt_that_must_be_reported(part: str) -> None:
    request = PARTS[part](LONG)
    assert pricing.ceiling_micro(request, TokenUsage(20_000, 1)) is None
    assert pricing.ceiling_micro(request, TokenUsage(80_000, 1)) is not None


@pytest.fixture(scope="module")
def provider() -> Iterator[Gateway]:
    made = Gateway(AnthropicClient(api_key=LIVE_KEY))
    yield made
    made.close()


SCHEMAS: dict[str, dict[str, Any] | None] = {
    "no schema": None,
    "a feature's": registry.get("summarize").output_schema,
    "a deep one": Deep.model_json_schema(),
}


@pytest.mark.skipif(not LIVE_KEY, reason="LIVE_ANTHROPIC_API_KEY is not set")
@pytest.mark.enable_socket
@pytest.mark.parametrize("model", catalog.known_models())
@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("text", ["Chinese", "U+FDFA"])
def test_no_live_call_exceeds_its_bound(
    provider: Gateway, model: str, schema: str, text: str
) -> None:
    document = f"<document>{text_of(text)}</document>"
    sent = a_request(model=model, messages=user(document), output_schema=SCHEMAS[schema])
    usage, cost = billed(provider, sent)
    assert usage.prompt_tokens <= pricing.prompt_bound_tokens(sent, schema_bytes=schema_bytes(sent))
    assert cost <= provider.upper_bound_micro(sent)


def billed(provider: Gateway, sent: InferenceRequest) -> tuple[TokenUsage, int]:
    """Return the usage and the cost of a call. An unusable complete answer is billed as well."""
    try:
        result = provider.infer(sent, cancel=Cancel())
    except InferenceError as error:
        if error.usage is None or error.cost_micro is None:
            raise
        return error.usage, error.cost_micro
    return result.usage, result.cost_micro
