"""The choice in the address of the dashboard: feature, range, division and order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from aifeature.admin.dashboard import breakdown
from aifeature.services.dashboard import ranges
from aifeature.services.dashboard.ranges import Range


@dataclass(frozen=True, slots=True)
class Choice:
    """Values that exist. Others in the address fall back to the first ones."""

    slug: str | None
    """None: all features."""
    range: Range
    by: str
    sort: str
    features: tuple[str, ...]
    """All that can be chosen."""

    @property
    def slugs(self) -> list[str]:
        """The chosen feature, or all."""
        return list(self.features) if self.slug is None else [self.slug]

    def query(self, **other: str) -> str:
        """Return the query of an address with the same choice, or with other values."""
        values = {
            "feature": self.slug or "",
            "range": self.range.key,
            "by": self.by,
            "sort": self.sort,
            **other,
        }
        return urlencode({name: value for name, value in values.items() if value})


def of(query: Mapping[str, str], features: Sequence[str]) -> Choice:
    """Return the choice of an address."""
    slug, by = query.get("feature", ""), query.get("by", "")
    return Choice(
        slug=slug if slug in features else None,
        range=ranges.of(query.get("range", "")),
        by=by if by in breakdown.BY else next(iter(breakdown.BY)),
        sort=query.get("sort", "")[:20],
        features=tuple(features),
    )
