"""Histograms of durations with logarithmic buckets: ten for each factor of ten.

Rollups in the database and exported metrics use the same edges. A percentile that is read from a
histogram is within the right bucket, which is at most 28 % wide (33 % below 40 ms). The number of
durations above an edge, such as 10 s, is exact.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final

_STEPS: Final = (100, 125, 160, 200, 250, 315, 400, 500, 630, 800)
"""The series R10 of ISO 3, whose values are round and which contains each power of ten."""

EDGES_MS: Final[tuple[int, ...]] = (
    *(step * 10**power // 10 for power in range(5) for step in _STEPS),
    1_000_000,
)
"""Upper edges in milliseconds, inclusive: 10 ms to 1,000 s. The last bucket has none."""

SLOW_MS: Final = 10_000
"""A latency above it counts as slow. It is one of the edges."""

Counts = Sequence[int]
"""Durations by bucket. Buckets at the end may be missing: they are empty."""


def bucket(duration_ms: float) -> int:
    """Return the number of the bucket of a duration, 0 to `len(EDGES_MS)`.

    >>> bucket(10_000) == EDGES_MS.index(10_000)
    True
    """
    return bisect_left(EDGES_MS, duration_ms)


def added(many: Iterable[Counts]) -> list[int]:
    """Return the sum of histograms."""
    return [sum(each) for each in zip_longest(*many, fillvalue=0)]


def above(counts: Counts, edge_ms: int) -> int:
    """Return the number of durations above an edge. Raises ValueError if it is not an edge."""
    return sum(counts[EDGES_MS.index(edge_ms) + 1 :])


def percentile_ms(counts: Counts, share: float) -> float | None:
    """Return the duration below which `share` (0 to 1) of the durations are; None of nothing.

    It is interpolated within its bucket by a logarithmic scale. Above the last edge, it is that
    edge.
    """
    total = sum(counts)
    if not total:
        return None
    rank, seen = share * total, 0
    for at, count in enumerate(counts):
        if count and seen + count >= rank:
            if at >= len(EDGES_MS):
                break
            low = EDGES_MS[at - 1] if at else EDGES_MS[0] / 2
            part = max(0.0, rank - seen) / count
            return float(low * (EDGES_MS[at] / low) ** part)
        seen += count
    return float(EDGES_MS[-1])
