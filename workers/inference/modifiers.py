"""What the usage of an answer says about its price beside the counts of tokens.

The provider bills the same tokens at other rates by region, service tier, speed and lifetime of a
cache entry, and it bills web searches by number. An answer is untrusted: a value that cannot be
read, or that is not known, counts as the dearest that is known.

Sources: the data residency, service tier, fast mode and prompt caching pages of the provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from workers.inference.types import TokenUsage

REGIONAL: Final = Decimal("1.1")
"""Factor on every kind of token while inference is kept in one region. A workspace can have that as
its default, so no request shows whether it applies."""

PRIORITY: Final = Decimal("1.5")
"""Factor of priority capacity. Its price is agreed on with the provider and in no price list, so no
request of ours asks for it (`wire.arguments`)."""

_NO_REGION: Final = frozenset({"", "global", "not_available"})

MOST_SEARCHES: Final = 10_000
"""A larger number of web searches is no number of one call."""


@dataclass(frozen=True, slots=True)
class Modifiers:
    """What changes the price of one call."""

    regional: bool = False
    tier: str = "standard"
    """`standard`, `batch`, or `priority`, which also stands for what is not known."""

    fast: bool = False
    cache_write_1h_tokens: int = 0
    """Part of the tokens written to the cache that is kept for an hour."""

    web_searches: int = 0

    @property
    def factor(self) -> Decimal:
        """Of the price of every token."""
        factor = REGIONAL if self.regional else Decimal(1)
        return factor * PRIORITY if self.tier == "priority" else factor

    @property
    def context(self) -> tuple[tuple[str, str], ...]:
        """What the price list is searched with for prices of its own."""
        batch = (("processing", "batch"),) if self.tier == "batch" else ()
        return batch + ((("speed", "fast"),) if self.fast else ())

    @property
    def unasked(self) -> bool:
        """Whether it reports what no request of ours can cause."""
        asked = self.tier == "standard" and not self.fast
        return not asked or bool(self.cache_write_1h_tokens or self.web_searches)


PLAIN: Final = Modifiers()


@dataclass(frozen=True, slots=True)
class ModifiedUsage(TokenUsage):
    """Tokens that are billed at other rates than the plain ones."""

    modifiers: Modifiers = PLAIN


def of(usage: TokenUsage) -> Modifiers:
    """The modifiers of a usage; those of a plain one change nothing."""
    return usage.modifiers if isinstance(usage, ModifiedUsage) else PLAIN


def reported(counts: TokenUsage, usage: Mapping[str, Any], before: TokenUsage) -> TokenUsage:
    """Return the counts with the modifiers that were reported along with them.

    Args:
        counts: As they were read.
        usage: The provider's object they were read from.
        before: The usage reported earlier in the stream: what is absent now keeps its value.
    """
    known = of(before)
    geo, tier, speed = (usage.get(name) for name in ("inference_geo", "service_tier", "speed"))
    hour = _count(usage.get("cache_creation"), "ephemeral_1h_input_tokens")
    searches = _count(usage.get("server_tool_use"), "web_search_requests")
    found = Modifiers(
        regional=known.regional if geo is None else _regional(geo),
        tier=known.tier if tier is None else _tier(tier),
        fast=known.fast if speed is None else speed != "standard",
        cache_write_1h_tokens=min(
            known.cache_write_1h_tokens if hour is None else hour, counts.cache_write_tokens
        ),
        web_searches=min(known.web_searches if searches is None else searches, MOST_SEARCHES),
    )
    return modified(counts, found)


def modified(counts: TokenUsage, found: Modifiers) -> TokenUsage:
    """Return the counts with these modifiers."""
    if found == PLAIN:
        return counts
    plain = {name: getattr(counts, name) for name in TokenUsage.__slots__}
    return ModifiedUsage(**plain, modifiers=found)


def _regional(geo: object) -> bool:
    return not isinstance(geo, str) or geo.lower() not in _NO_REGION


def _tier(tier: object) -> str:
    return tier if isinstance(tier, str) and tier in {"standard", "batch"} else "priority"


def _count(group: object, name: str) -> int | None:
    """A count of a group of the usage; None where there is none that can be read."""
    count = group.get(name) if isinstance(group, Mapping) else None
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        return None
    return count
