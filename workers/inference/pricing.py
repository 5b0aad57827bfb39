"""Cost and bound of a call, in whole micro-dollars.

Rates come from the installed genai-prices snapshot, never from the network. Prices may depend on
date and time of day, so rates are cached per model and minute: the package's own calculation takes
a millisecond, and a job needs several. A test compares the two. `at` is the time for prices, by
default now. A micro-dollar per token equals a dollar per million tokens. A model that is not in the
catalog or has no price raises `NotPriced`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from workers.inference import catalog, modifiers, tokens
from workers.inference.errors import Billing, NotPriced

if TYPE_CHECKING:
    from workers.inference.types import InferenceRequest, Message, TextBlock, TokenUsage

MESSAGE_OVERHEAD_TOKENS = 16
"""Allowance for hidden tokens around each message or block."""


BYTES_PER_TOKEN = 4
"""Usual number of UTF-8 bytes of a token."""


def is_cacheable(prefix_bytes: int, model: str) -> bool:
    """Return whether a prompt's beginning of this size is usually long enough to be cached."""
    return prefix_bytes >= catalog.get(model).cache_min_tokens * BYTES_PER_TOKEN


@dataclass(frozen=True, slots=True)
class Rates:
    """Micro-dollars per token for prompts longer than `above` tokens."""

    above: int
    input: Decimal
    output: Decimal
    cache_write: Decimal
    cache_read: Decimal
    cache_write_1h: Decimal | None = None
    """None: twice the input rate, by the provider's rule."""

    web_search: Decimal = Decimal(10_000)
    """Micro-dollars per search."""


def cost_micro(model: str, usage: TokenUsage, *, at: datetime | None = None) -> int:
    """Return the cost of a usage with its modifiers, in micro-dollars, rounded up."""
    found = modifiers.of(usage)
    rates = _rates_at(model, usage.prompt_tokens, at, found.context)
    hour = found.cache_write_1h_tokens
    hour_rate = 2 * rates.input if rates.cache_write_1h is None else rates.cache_write_1h
    billed = (
        usage.input_tokens * rates.input
        + usage.output_tokens * rates.output
        + (usage.cache_write_tokens - hour) * rates.cache_write
        + hour * hour_rate
        + usage.cache_read_tokens * rates.cache_read
    )
    return math.ceil(billed * found.factor + found.web_searches * rates.web_search)


def cache_saved_micro(model: str, usage: TokenUsage, *, at: datetime | None = None) -> int:
    """Return what the prompt cache saved a call, in micro-dollars, rounded down.

    Reads cost less than the input rate, and writes more: the result of a call that only wrote is
    negative.
    """
    if not (usage.cache_read_tokens or usage.cache_write_tokens):
        return 0
    found = modifiers.of(usage)
    rates = _rates_at(model, usage.prompt_tokens, at, found.context)
    hour = found.cache_write_1h_tokens
    hour_rate = 2 * rates.input if rates.cache_write_1h is None else rates.cache_write_1h
    saved = (
        usage.cache_read_tokens * (rates.input - rates.cache_read)
        - (usage.cache_write_tokens - hour) * (rates.cache_write - rates.input)
        - hour * (hour_rate - rates.input)
    )
    return math.floor(saved * found.factor)


def delivered_micro(model: str, usage: TokenUsage, text: str) -> int:
    """Return the price of the part of an answer that a user has read, in micro-dollars, rounded up.

    It counts the reported prompt, and one output token for every four bytes of text, the usual
    length of a token. `usage` is the report so far; its output is ignored.
    """
    tokens = math.ceil(len(text.encode(errors="surrogatepass")) / BYTES_PER_TOKEN)
    return cost_micro(model, replace(usage, output_tokens=tokens))


def upper_bound_micro(
    request: InferenceRequest, *, schema_bytes: int = 0, at: datetime | None = None
) -> int:
    """Return the bound of a request, in micro-dollars. No valid usage of it costs more.

    `schema_bytes` is the length of the output schema as it is sent, in UTF-8 bytes. The bound
    includes prices that begin before the call's deadline, and regional inference.
    """
    prompt = prompt_bound_tokens(request, schema_bytes=schema_bytes)
    begin = _or_now(at)
    moments = (begin, begin + timedelta(seconds=max(request.deadline_s, 0)))
    listed = [rates for moment in moments for rates in price_list(request.model, at=moment)]
    reachable = [r for r in listed if r.above < max(prompt, 1)]
    dearest_in = max(max(r.input, r.cache_write, r.cache_read) for r in reachable)
    dearest_out = max(r.output for r in reachable)
    plain = prompt * dearest_in + request.max_tokens * dearest_out
    return math.ceil(plain * modifiers.REGIONAL)


def ceiling_micro(
    request: InferenceRequest, reported: TokenUsage, *, at: datetime | None = None
) -> int | None:
    """Return the ceiling of a call whose answer began with this usage and was cut off.

    In micro-dollars, rounded up: the reported prompt at its rates and tier, and `max_tokens` at the
    output rate. None if the reported prompt is too short for this request, for example from a
    gateway that sends the counts at the end: such a report is no bound.
    """
    blocks = (*request.system, *(block for turn in request.messages for block in turn.content))
    least = sum(tokens.least_tokens(block.text) for block in blocks)
    if reported.prompt_tokens < max(1, least):
        return None
    output = max(request.max_tokens, reported.output_tokens)
    return cost_micro(request.model, replace(reported, output_tokens=output), at=at)


def prompt_bound_tokens(request: InferenceRequest, *, schema_bytes: int = 0) -> int:
    """Return the prompt's bound: `tokens.most_tokens` and the allowances for hidden tokens."""
    model = catalog.get(request.model)
    bound = model.overhead_tokens + _blocks_bound(request.system)
    bound += sum(_message_bound(message) for message in request.messages)
    if request.output_schema is not None:
        bound += model.schema_overhead_tokens + schema_bytes
    # Longer prompts are rejected unbilled, so the context window is a bound too.
    return min(bound, model.context_tokens)


def price_list(
    model: str, *, at: datetime | None = None, context: tuple[tuple[str, str], ...] = ()
) -> tuple[Rates, ...]:
    """Return the rates for a `Modifiers.context`, by tier of prompt length, shortest first."""
    return _rates(model, _or_now(at).replace(second=0, microsecond=0), context)


def _or_now(at: datetime | None) -> datetime:
    return datetime.now(UTC) if at is None else at


@lru_cache(maxsize=64)
def _rates(model: str, minute: datetime, context: tuple[tuple[str, str], ...]) -> tuple[Rates, ...]:
    entry = catalog.get(model)
    prices = _snapshot_prices(entry.price_id or entry.id, minute, context)
    starts = {0}
    for price in _four_prices(prices).values():
        if isinstance(price, TieredPrices):
            starts.update(tier.start for tier in price.tiers)
    hour, search = prices.cache_write_1h_mtok, prices.web_searches_kcount
    return tuple(
        Rates(
            above=start,
            **{kind: _at(p, start) for kind, p in _four_prices(prices).items()},
            cache_write_1h=None if hour is None else _at(hour, start),
            **({} if search is None else {"web_search": _at(search, 0) * 1000}),
        )
        for start in sorted(starts)
    )


def _rates_at(
    model: str, prompt_tokens: int, at: datetime | None, context: tuple[tuple[str, str], ...]
) -> Rates:
    tiers = price_list(model, at=at, context=context)
    # A tier applies to prompts longer than its start, and to all tokens of the call.
    return next((r for r in reversed(tiers) if prompt_tokens > r.above), tiers[0])


def _snapshot_prices(
    price_id: str, at: datetime, context: tuple[tuple[str, str], ...]
) -> ModelPrice:
    try:
        _, info = get_snapshot().find_provider_model(price_id, None, "anthropic", None)
    except LookupError:
        raise NotPriced(f"model {price_id!r} has no price", billing=Billing.NONE) from None
    return info.get_prices(at, dict(context))


def _four_prices(prices: ModelPrice) -> dict[str, Decimal | TieredPrices]:
    found = {
        "input": getattr(prices, "input_mtok", None),
        "output": getattr(prices, "output_mtok", None),
        "cache_write": getattr(prices, "cache_write_mtok", None),
        "cache_read": getattr(prices, "cache_read_mtok", None),
    }
    missing = [kind for kind, price in found.items() if price is None]
    if missing:
        raise NotPriced(f"no price for {', '.join(missing)}", billing=Billing.NONE)
    return {kind: price for kind, price in found.items() if price is not None}


def _at(price: Decimal | TieredPrices, start: int) -> Decimal:
    if not isinstance(price, TieredPrices):
        return price
    return next((t.price for t in reversed(price.tiers) if t.start <= start), price.base)


def _message_bound(message: Message) -> int:
    return MESSAGE_OVERHEAD_TOKENS + _blocks_bound(message.content)


def _blocks_bound(blocks: tuple[TextBlock, ...]) -> int:
    return sum(tokens.most_tokens(block.text) + MESSAGE_OVERHEAD_TOKENS for block in blocks)
