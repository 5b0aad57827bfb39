"""What a call costs, and the most it can cost, in whole micro-dollars.

Rates come from the installed genai-prices snapshot and never from the network. A price of it may
have a start date or hours of the day, so rates are read once for each model and minute: the
package's own calculation takes a millisecond, a job makes it several times, and a test holds the
two equal. `at` is the moment whose prices count: now, unless it is given. A micro-dollar per token
is a dollar per million tokens, so a rate is both.
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
"""Allowance for the marks around a message or block that no byte of the text stands for."""


BYTES_PER_TOKEN = 4
"""Usual UTF-8 bytes of text for one token."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Micro-dollars per token for prompts longer than `above` tokens."""

    above: int
    input: Decimal
    output: Decimal
    cache_write: Decimal
    cache_read: Decimal
    cache_write_1h: Decimal | None = None
    """None: twice the input, as the provider's rule is."""

    web_search: Decimal = Decimal(10_000)
    """For one search."""


def cost_micro(model: str, usage: TokenUsage, *, at: datetime | None = None) -> int:
    """Micro-dollars the provider bills for this usage, rounded up to a whole one.

    The modifiers that were reported with it count (`modifiers.py`).

    Raises:
        NotPriced: The model is not in the catalog, or has no price.
    """
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


def delivered_micro(model: str, usage: TokenUsage, text: str) -> int:
    """What a part of an answer that a user has read is worth, in micro-dollars, rounded up.

    Counted are the reported prompt and one output token for every four bytes of the text, the usual
    length of a token. `usage` is what the provider had reported by then, without its output.

    Raises:
        NotPriced: The model is not in the catalog, or has no price.
    """
    tokens = math.ceil(len(text.encode(errors="surrogatepass")) / BYTES_PER_TOKEN)
    return cost_micro(model, replace(usage, output_tokens=tokens))


def upper_bound_micro(
    request: InferenceRequest, *, schema_bytes: int = 0, at: datetime | None = None
) -> int:
    """The most this request can cost, in micro-dollars: no usage it may lead to is dearer.

    `schema_bytes` is the length of the output schema as it is sent, in UTF-8 bytes. A price that
    begins before the call's deadline counts, and so does regional inference.

    Raises:
        NotPriced: The model is not in the catalog, or has no price.
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
    """Return the most that a call costs whose answer began with this usage and was cut off.

    In micro-dollars, rounded up: the reported prompt at its rates and tier, and `max_tokens` at the
    output rate. None when the reported prompt is too short to be this request's, as from a gateway
    that fills in the counts at the end: such a report bounds nothing.

    Raises:
        NotPriced: The model is not in the catalog, or has no price.
    """
    blocks = (*request.system, *(block for turn in request.messages for block in turn.content))
    least = sum(tokens.least_tokens(block.text) for block in blocks)
    if reported.prompt_tokens < max(1, least):
        return None
    output = max(request.max_tokens, reported.output_tokens)
    return cost_micro(request.model, replace(reported, output_tokens=output), at=at)


def prompt_bound_tokens(request: InferenceRequest, *, schema_bytes: int = 0) -> int:
    """The most tokens the prompt can have (`tokens.most_tokens`), with what the provider adds."""
    model = catalog.get(request.model)
    bound = model.overhead_tokens + _blocks_bound(request.system)
    bound += sum(_message_bound(message) for message in request.messages)
    if request.output_schema is not None:
        bound += model.schema_overhead_tokens + schema_bytes
    # Longer prompts are rejected unbilled, so the window bounds the bill too.
    return min(bound, model.context_tokens)


def price_list(
    model: str, *, at: datetime | None = None, context: tuple[tuple[str, str], ...] = ()
) -> tuple[Rates, ...]:
    """The model's rates, one entry per tier of prompt length, shortest first.

    `context` names the variant of the prices, as in `Modifiers.context`.

    Raises:
        NotPriced: The model is not in the catalog, or has no price.
    """
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
    # A tier holds for prompts longer than its start, and then for every token of the call.
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
