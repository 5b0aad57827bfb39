"""The arithmetic of the benches."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tests.bench.report import BrokenRunError


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that this percentage of the values does not exceed (nearest rank)."""
    if not values:
        raise BrokenRunError("nothing was measured")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def steady_rate(ends: Sequence[float], concurrency: int) -> float:
    """Ends per second while all slots were full.

    That is between the end of the first wave and the moment the last wave was in flight: filling
    and draining the slots says more of the length of the run than of the system.

    Args:
        ends: When each ended, in seconds on any one clock.
        concurrency: How many run at once.

    Raises:
        BrokenRunError: fewer than four waves.
    """
    ranked = sorted(ends)
    if len(ranked) < 4 * concurrency:
        raise BrokenRunError(f"{len(ranked)} ends are too few for {concurrency} at once")
    first, last = concurrency - 1, len(ranked) - concurrency - 1
    return (last - first) / (ranked[last] - ranked[first])
