"""The arithmetic of the benches."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.bench.report import BrokenRunError


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that this percentage of the values does not exceed."""
    if not values:
        raise BrokenRunError("nothing was measured")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def steady_rate(ends: Sequence[float], concurrency: int) -> float:
    """Return the ends per second while all slots were full.

    `ends` are times in seconds on one clock. The first and the last wave, which fill and drain the
    slots, do not count. Raises BrokenRunError for fewer than four waves.
    """
    ranked = sorted(ends)
    if len(ranked) < 4 * concurrency:
        raise BrokenRunError(f"{len(ranked)} ends are too few for {concurrency} slots")
    first, last = concurrency - 1, len(ranked) - concurrency - 1
    return (last - first) / (ranked[last] - ranked[first])
