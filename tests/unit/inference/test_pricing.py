"""Costs equal the price list, and no usage a request can lead to is dearer than its bound."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from genai_prices.types import (
    ConditionalPrice,
    ModelPrice,
    StartDateConstraint,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.provider_calls import a_request, user
from tests.unit.inference.conftest import PutPrices, priced
from workers.inference import catalog, pricing
from workers.inference.errors import Billing, NotPriced
from workers.inference.types import TextBlock, TokenUsage

MODELS = st.sampled_from(catalog.known_models())
COUNTS = st.one_of(st.integers(0, 300), st.integers(99_990, 100_010), st.integers(0, 1_000_000))


@pytest.mark.parametrize(
    ("model", "usage", "micro"),
    [
        ("claude-haiku-5-5", TokenUsage(1_000_000 // 10, 0), 10_000),
        ("claude-haiku-5-5", TokenUsage(100_001, 0), 50_001),
        ("claude-haiku-5-5", TokenUsage(1, 0, 100_000, 0), 5001),
        ("claude-haiku-5-5", TokenUsage(1, 0), 1),
        ("claude-haiku-5-5", TokenUsage(), 0),
        ("claude-sonnet-5-5", TokenUsage(1000, 1000, 1000, 1000), 14_600),
        ("claude-opus-5-5", TokenUsage(1000, 1000, 1000, 1000), 29_200),
    ],
)
def test_costs_by_hand(model: str, usage: TokenUsage, micro: int) -> None:
    assert pricing.cost_micro(model, usage) == micro


@pytest.mark.parametrize(
    ("usage", "micro"),
    [
        (TokenUsage(1000, 1000), 0),
        (TokenUsage(1000, 1000, cache_read_tokens=20_000), 1_800),
        (TokenUsage(1000, 1000, cache_write_tokens=20_000), -500),
        (TokenUsage(0, 0, cache_read_tokens=1), 0),
        (TokenUsage(0, 0, cache_write_tokens=1), -1),
    ],
)
def test_savings_of_the_cache_by_hand(usage: TokenUsage, micro: int) -> None:
    assert pricing.cache_saved_micro("claude-haiku-5-5", usage) == micro


@given(MODELS, COUNTS, COUNTS, COUNTS)
def test_the_cache_saves_the_difference_to_the_same_call_without_it(
    model: str, uncached: int, read: int, write: int
) -> None:
    usage = TokenUsage(uncached, 100, read, write)
    without = TokenUsage(uncached + read + write, 100)
    difference = pricing.cost_micro(model, without) - pricing.cost_micro(model, usage)
    assert abs(pricing.cache_saved_micro(model, usage) - difference) <= 1  # both are rounded


@given(MODELS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_the_cost_is_the_price_lists_rounded_up(
    model: str, uncached: int, output: int, read: int, write: int
) -> None:
    listed = calc_price(
        Usage(
            input_tokens=uncached + read + write,
            output_tokens=output,
            cache_read_tokens=read,
            cache_write_tokens=write,
        ),
        model,
        provider_id="anthropic",
    ).total_price
    usage = TokenUsage(uncached, output, read, write)
    assert pricing.cost_micro(model, usage) == math.ceil(listed * Decimal(1_000_000))


@given(
    model=MODELS,
    system=st.lists(st.text(max_size=300), max_size=3),
    turns=st.lists(st.text(max_size=300), min_size=1, max_size=3),
    stretch=st.sampled_from([1, 10, 1000]),
    max_tokens=st.integers(1, 128_000),
    schema_bytes=st.sampled_from([None, 0, 500]),
    data=st.data(),
)
def test_no_usage_is_dearer_than_the_bound(
    model: str,
    system: list[str],
    turns: list[str],
    stretch: int,
    max_tokens: int,
    schema_bytes: int | None,
    data: st.DataObject,
) -> None:
    request = a_request(
        model=model,
        system=tuple(TextBlock(text * stretch, cache=True) for text in system),
        messages=tuple(turn for text in turns for turn in user(text * stretch)),
        max_tokens=max_tokens,
        output_schema=None if schema_bytes is None else {},
    )
    # At worst each byte is a token, the schema too, and the provider adds its own preamble.
    sent = sum(len(t.encode()) for t in [*system, *turns]) * stretch + (schema_bytes or 0)
    prompt = data.draw(st.integers(0, min(sent + 300, 1_000_000)))
    read = data.draw(st.integers(0, prompt))
    write = data.draw(st.integers(0, prompt - read))
    output = data.draw(st.integers(0, max_tokens))
    usage = TokenUsage(prompt - read - write, output, read, write)
    bound = pricing.upper_bound_micro(request, schema_bytes=schema_bytes or 0)
    assert pricing.cost_micro(model, usage) <= bound


def test_the_bound_is_at_the_cache_write_rate_and_counts_bytes() -> None:
    plain = pricing.upper_bound_micro(a_request(messages=user("")))
    longer = a_request(messages=user("é" * 4000))
    assert pricing.upper_bound_micro(longer) - plain == 8000 * 125 * 11 // 10_000


@pytest.mark.parametrize("dearest", ["input", "cache_write", "cache_read"])
def test_the_bound_is_at_the_dearest_rate_of_a_prompt(
    dearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = dict.fromkeys(("input", "output", "cache_write", "cache_read"), Decimal(1))
    made = pricing.Rates(above=0, **{**rates, dearest: Decimal(3)})
    monkeypatch.setattr(pricing, "price_list", lambda _, **__: (made,))
    request = a_request(max_tokens=10)
    plain = 3 * pricing.prompt_bound_tokens(request) + 10
    assert pricing.upper_bound_micro(request) == math.ceil(plain * Decimal("1.1"))


@pytest.mark.parametrize(
    ("text", "micro"),
    [("", 40), ("abcd", 60), ("abcde", 80), ("\u00e9" * 4, 80), ("\ud800", 60)],
    ids=["nothing", "four bytes", "five bytes", "four characters of two bytes", "half a surrogate"],
)
def test_shown_text_is_worth_the_prompt_and_a_token_for_every_four_bytes(
    text: str, micro: int
) -> None:
    """At 4 and 20 dollars per million. Output that was reported is in the text, if anywhere."""
    assert pricing.delivered_micro("claude-opus-5-5", TokenUsage(10, 7), text) == micro


@pytest.mark.parametrize("length", range(8))
def test_the_bound_is_rounded_up(length: int) -> None:
    request = a_request(messages=user("x" * length), max_tokens=1)
    exact = pricing.prompt_bound_tokens(request) * Decimal("0.125") + Decimal("0.5")
    assert 0 <= pricing.upper_bound_micro(request) - exact * Decimal("1.1") < 1


def test_a_prompt_that_may_be_long_is_bound_at_the_dearer_tier() -> None:
    longer = a_request(messages=user("x" * 99_000), max_tokens=1)
    longest = a_request(messages=user("x" * 100_000), max_tokens=1)
    assert pricing.upper_bound_micro(longest) > 4 * pricing.upper_bound_micro(longer)


@pytest.mark.parametrize("model", ["claude-unheard-of", "", "gpt-4"])
def test_a_model_without_a_price_is_refused(model: str) -> None:
    with pytest.raises(NotPriced) as caught:
        pricing.cost_micro(model, TokenUsage(1, 1))
    assert caught.value.billing is Billing.NONE
    with pytest.raises(NotPriced):
        pricing.upper_bound_micro(a_request(model=model))


def test_a_catalog_entry_without_a_listed_price_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = catalog.get("claude-haiku-5-5")
    stranger = catalog.Model(
        **{field: getattr(known, field) for field in known.__slots__ if field != "id"},
        id="claude-haiku-99",
    )
    monkeypatch.setitem(catalog._MODELS, "claude-haiku-99", stranger)
    with pytest.raises(NotPriced, match="claude-haiku-99") as caught:
        pricing.price_list("claude-haiku-99")
    assert caught.value.billing is Billing.NONE


def test_a_price_counts_from_its_day_on(put_prices: PutPrices) -> None:
    put_prices(
        [
            ConditionalPrice(prices=priced(1)),
            ConditionalPrice(StartDateConstraint(date(2021, 1, 1)), prices=priced(2)),
            ConditionalPrice(StartDateConstraint(date(9999, 1, 1)), prices=priced(3)),
        ]
    )
    assert pricing.cost_micro("claude-haiku-5-5", TokenUsage(10, 0)) == 20


def test_a_model_without_a_price_for_each_kind_of_token_is_refused(put_prices: PutPrices) -> None:
    put_prices([ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1)))])
    with pytest.raises(NotPriced, match="no price for cache_write, cache_read") as caught:
        pricing.price_list("claude-haiku-5-5")
    assert caught.value.billing is Billing.NONE


@pytest.mark.parametrize("model", catalog.known_models())
def test_every_model_of_the_catalog_is_priced_and_fits_its_window(model: str) -> None:
    entry = catalog.get(model)
    assert pricing.price_list(model)
    assert 0 < entry.max_output_tokens < entry.context_tokens


def test_prices_are_read_once_for_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hot path needs a bound and a cost. To read the snapshot takes a millisecond."""
    request, usage = a_request(deadline_s=30), TokenUsage(10, 10, 10, 10)
    at = datetime(2026, 11, 28, 12, tzinfo=UTC)
    pricing.cost_micro(request.model, usage, at=at)

    def read_again(*_: Any) -> None:
        raise AssertionError("the snapshot was read again")

    monkeypatch.setattr(pricing, "_snapshot_prices", read_again)
    pricing.cost_micro(request.model, usage, at=at)
    pricing.upper_bound_micro(request, at=at)


def test_a_prompt_is_cacheable_from_the_models_least_tokens() -> None:
    least = catalog.get("claude-haiku-5-5").cache_min_tokens * pricing.BYTES_PER_TOKEN
    assert not pricing.is_cacheable(least - 1, "claude-haiku-5-5")
    assert pricing.is_cacheable(least, "claude-haiku-5-5")
