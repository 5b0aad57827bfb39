"""Price modifiers in the usage of an answer.

Token rates depend on region, service tier, speed and lifetime of a cache entry. Web searches are
billed by number. Answers are untrusted: a value that is invalid or unknown counts as the most
expensive known one.

Sources: the provider's pages on data residency, service tiers, fast mode and prompt caching.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from workers.inference.types import TokenUsage

REGIONAL: Final = Decimal("1.1")
"""Factor on every kind of token for inference in one region. It may be the default of a workspace,
so a request does not show whether it applies."""

PRIORITY: Final = Decimal("1.5")
"""Factor of priority capacity. Its price is set by contract and is in no price list, so our
requests exclude it (`wire.arguments`)."""

_NO_REGION: Final = frozenset({"", "global", "not_available"})

MOST_SEARCHES: Final = 10_000
"""The most web searches that are counted for one call. A larger report cannot be right."""


@dataclass(frozen=True, slots=True)
class Modifiers:
    """Price modifiers of one call."""

    regional: bool = False
    tier: str = "standard"
    """`standard`, `batch` or `priority`. Unknown tiers count as `priority`."""

    fast: bool = False
    cache_write_1h_tokens: int = 0
    """The part of the cache writes that is kept for an hour."""

    web_searches: int = 0

    @property
    def factor(self) -> Decimal:
        """Factor on the price of every token."""
        factor = REGIONAL if self.regional else Decimal(1)
        return factor * PRIORITY if self.tier == "priority" else factor

    @property
    def context(self) -> tuple[tuple[str, str], ...]:
        """Variant of the price list to use."""
        batch = (("processing", "batch"),) if self.tier == "batch" else ()
        return batch + ((("speed", "fast"),) if self.fast else ())

    @property
    def unrequested(self) -> bool:
        """Whether it contains a modifier that our requests cannot cause."""
        expected = self.tier == "standard" and not self.fast
        return not expected or bool(self.cache_write_1h_tokens or self.web_searches)


PLAIN: Final = Modifiers()


@dataclass(frozen=True, slots=True)
class ModifiedUsage(TokenUsage):
    """Token usage that is billed at modified rates."""

    modifiers: Modifiers = PLAIN


def of(usage: TokenUsage) -> Modifiers:
    """Return the modifiers of a usage. Those of a plain `TokenUsage` have no effect."""
    return usage.modifiers if isinstance(usage, ModifiedUsage) else PLAIN


def reported(counts: TokenUsage, usage: Mapping[str, Any], before: TokenUsage) -> TokenUsage:
    """Return the counts with the modifiers in `usage`, the provider's object.

    Values that are absent from `usage` are taken from `before`, the previous usage in the stream.
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
    if found == PLAIN:
        return counts
    plain = {name: getattr(counts, name) for name in TokenUsage.__slots__}
    return ModifiedUsage(**plain, modifiers=found)


def _regional(geo: object) -> bool:
    return not isinstance(geo, str) or geo.lower() not in _NO_REGION


def _tier(tier: object) -> str:
    return tier if isinstance(tier, str) and tier in {"standard", "batch"} else "priority"


def _count(group: object, name: str) -> int | None:
    """Return a count from a group of the usage. None if absent or invalid."""
    count = group.get(name) if isinstance(group, Mapping) else None
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        return None
    return count
