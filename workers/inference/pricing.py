"""What a call costs, and the most it can cost, in whole micro-dollars.

Rates come from the installed genai-prices snapshot and never from the network, so that a price
changes with a deploy and not between two lines of a ledger. They are read once per model: the
package's own calculation takes a millisecond, a job makes it several times, and a test holds the
two equal. A micro-dollar per token is a dollar per million tokens, so a rate is both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from workers.inference import catalog, tokens
from workers.inference.errors import Billing, NotPriced

if TYPE_CHECKING:
    from decimal import Decimal

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


def cost_micro(model: str, usage: TokenUsage) -> int:
    """Micro-dollars the provider bills for this usage, rounded up to a whole one.

    Raises:
        NotPriced: The model is not in the catalog, or has no price.
    """
    rates = _rates_at(model, usage.prompt_tokens)
    return math.ceil(
        usage.input_tokens * rates.input
        + usage.output_tokens * rates.output
        + usage.cache_write_tokens * rates.cache_write
        + usage.cache_read_tokens * rates.cache_read
    )


def delivered_micro(model: str, usage: TokenUsage, text: str) -> int:
    """What a part of an answer that a user has read is worth, in micro-dollars, rounded up.

    Counted are the reported prompt and one output token for every four bytes of the text, the usual
    length of a token. `usage` is what the provider had reported by then, without its output.

    Raises:
        NotPriced: The model is not in the catalog, or has no price.
    """
    tokens = math.ceil(len(text.encode(errors="surrogatepass")) / BYTES_PER_TOKEN)
    return cost_micro(model, replace(usage, output_tokens=tokens))


def upper_bound_micro(request: InferenceRequest, *, schema_bytes: int = 0) -> int:
    """The most this request can cost, in micro-dollars: no usage it may lead to is dearer.

    `schema_bytes` is the length of the output schema as it is sent, in UTF-8 bytes.

    Raises:
        NotPriced: The model is not in the catalog, or has no price.
    """
    prompt = prompt_bound_tokens(request, schema_bytes=schema_bytes)
    reachable = [r for r in price_list(request.model) if r.above < max(prompt, 1)]
    dearest_in = max(max(r.input, r.cache_write, r.cache_read) for r in reachable)
    dearest_out = max(r.output for r in reachable)
    return math.ceil(prompt * dearest_in + request.max_tokens * dearest_out)


def ceiling_micro(request: InferenceRequest, reported: TokenUsage) -> int | None:
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
    return cost_micro(request.model, replace(reported, output_tokens=output))


def prompt_bound_tokens(request: InferenceRequest, *, schema_bytes: int = 0) -> int:
    """The most tokens the prompt can have (`tokens.most_tokens`), with what the provider adds."""
    model = catalog.get(request.model)
    bound = model.overhead_tokens + _blocks_bound(request.system)
    bound += sum(_message_bound(message) for message in request.messages)
    if request.output_schema is not None:
        bound += model.schema_overhead_tokens + schema_bytes
    # Longer prompts are rejected unbilled, so the window bounds the bill too.
    return min(bound, model.context_tokens)


@lru_cache(maxsize=64)
def price_list(model: str) -> tuple[Rates, ...]:
    """The model's rates, one entry per tier of prompt length, shortest first.

    Raises:
        NotPriced: The model is not in the catalog, or has no price.
    """
    entry = catalog.get(model)
    prices = _snapshot_prices(entry.price_id or entry.id)
    starts = {0}
    for price in _four_prices(prices).values():
        if isinstance(price, TieredPrices):
            starts.update(tier.start for tier in price.tiers)
    return tuple(
        Rates(above=start, **{kind: _at(p, start) for kind, p in _four_prices(prices).items()})
        for start in sorted(starts)
    )


def _rates_at(model: str, prompt_tokens: int) -> Rates:
    tiers = price_list(model)
    # A tier holds for prompts longer than its start, and then for every token of the call.
    return next((r for r in reversed(tiers) if prompt_tokens > r.above), tiers[0])


def _snapshot_prices(price_id: str) -> ModelPrice:
    try:
        _, info = get_snapshot().find_provider_model(price_id, None, "anthropic", None)
    except LookupError:
        raise NotPriced(f"model {price_id!r} has no price", billing=Billing.NONE) from None
    return info.get_prices(datetime.now(UTC))


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
