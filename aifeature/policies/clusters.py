"""Statistics of people: each of them is a cluster of requests. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

MOST_DESIGN: Final = 4.0
"""The largest design effect: that of failures in clusters of three to four. Of few people the
estimate is uncertain, and a fault that began lately hits them differently."""


def design_effect(counts: Sequence[tuple[int, int]]) -> float:
    """Return the variance of a share between people, by that of independent requests.

    It is 1 if all people have the same share, as in an outage. It is MOST_DESIGN at most.

    Args:
        counts: Of each person the requests with the property, and all requests.
    """
    bad, total, people = sum(b for b, _ in counts), sum(n for _, n in counts), len(counts)
    if people < 2 or not 0 < bad < total:  # noqa: PLR2004 (a variance needs two)
        return 1.0
    share = bad / total
    between = sum((some - share * of) ** 2 for some, of in counts) * people / (people - 1)
    return min(MOST_DESIGN, max(1.0, between / (total * share * (1 - share))))


def t(share: float, freedom: int) -> float:
    """Return the quantile of Student's t.

    Source: Abramowitz and Stegun, 26.7.5. With four degrees of freedom it is at most 1 % off.
    """
    z = NormalDist().inv_cdf(share)
    more: float = sum(
        term / freedom**power
        for power, term in enumerate(
            (
                (z**3 + z) / 4,
                (5 * z**5 + 16 * z**3 + 3 * z) / 96,
                (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
            ),
            1,
        )
    )
    return z + more
