"""Always-valid tests of a harm: valid at any number of looks, in pure Python.

The unit is a block: one user of the candidate and k users of the live version. Within a block the
users are independent. Sources: Turner, Ly, Grünwald, "Generic E-variables for exact sequential
k-sample tests" (arXiv 2106.02693); Waudby-Smith, Ramdas, "Estimating means of bounded random
variables by betting" (arXiv 2010.09686). `docs/design/canary.md` explains both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import exp, floor, fsum, lgamma, log
from typing import Final, NamedTuple

ODDS_RATIOS: Final = ((2.0, 0.25), (4.0, 0.5), (8.0, 0.25))
"""The alternatives of the test with their weights, whose sum is 1."""

PRIOR: Final = (0.5, 9.5)
"""Beta prior of the live rate, as harmed and unharmed users seen before: 5 % at first."""

BETS: Final = ((0.1, 0.05), (0.2, 0.1), (0.35, 0.2), (0.6, 0.25), (0.97, 0.4))
"""Stakes of the confidence sequence, as shares of the wealth that the worst block would take, with
their weights, whose sum is 1."""

FINENESS: Final = 10_000
"""Steps of the confidence sequence in a difference of 1."""

END_ALPHA: Final = 0.05
"""Probability with which one end of the interval is ever wrong."""

RATIO_WEIGHT: Final = 100.0
"""Users that the prior of the sample-ratio check is worth."""


class Block(NamedTuple):
    """One user of the candidate and `size` users of the live version."""

    harmed: int
    """1 if the user of the candidate was harmed, else 0."""

    live_harmed: int
    """The number of live users who were harmed."""

    size: int
    """The number of live users: k."""

    @property
    def difference(self) -> float:
        """The candidate's harm less the mean harm of the live users: -1 to 1."""
        return self.harmed - self.live_harmed / self.size


def controls_per_user(percent: int) -> int:
    """Return the live users in a block at a share of 1 to 50 percent: k."""
    return max(1, floor((100 - percent) / percent))


def log_e_value(block: Block, theta_a: float, theta_b: float) -> float:
    """Return the logarithm of the e-value of one block.

    `theta_a` is the candidate's rate under the alternative and `theta_b` the live one. Both are in
    (0, 1) and chosen before the block. With theta_a > theta_b its expectation is at most 1 if the
    candidate's true rate is at most the live one.
    """
    k = block.size
    theta_0 = (theta_a + k * theta_b) / (k + 1)
    harmed, unharmed = log(theta_a / theta_0), log((1 - theta_a) / (1 - theta_0))
    live_harmed, live_unharmed = log(theta_b / theta_0), log((1 - theta_b) / (1 - theta_0))
    return (
        (harmed if block.harmed else unharmed)
        + block.live_harmed * live_harmed
        + (k - block.live_harmed) * live_unharmed
    )


def log_curve(blocks: Iterable[Block]) -> list[float]:
    """Return the logarithm of the e-value after each block.

    Each odds ratio has a product of its own over all blocks, and the e-value is their weighted
    mean. The live rate of a block is estimated from the blocks before it.
    """
    products = [log(weight) for _, weight in ODDS_RATIOS]
    harmed, unharmed = PRIOR
    curve = []
    for block in blocks:
        odds = harmed / unharmed
        theta_b = odds / (1 + odds)
        for i, (ratio, _) in enumerate(ODDS_RATIOS):
            theta_a = ratio * odds / (1 + ratio * odds)
            products[i] += log_e_value(block, theta_a, theta_b)
        curve.append(_log_sum(products))
        harmed += block.live_harmed
        unharmed += block.size - block.live_harmed
    return curve


def interval(blocks: Iterable[Block], *, alpha: float = END_ALPHA) -> tuple[float, float]:
    """Return the ends of the interval of the difference of the rates, at any time.

    Each end is wrong at some time with probability `alpha` at most. Differences are those of the
    candidate less the live one, in ten-thousandths; an end that is not known is -1 or 1.
    """
    counts = Counter(block.difference for block in blocks)
    upper = _least_rejected(counts, alpha)
    lower = _least_rejected(Counter({-value: n for value, n in counts.items()}), alpha)
    return -lower, upper


def _least_rejected(counts: Counter[float], alpha: float) -> float:
    """Return the least delta such that all from it on are rejected as too large; 1 if none is."""
    low, high = -FINENESS, FINENESS
    while low < high:  # the wealth grows with delta
        middle = (low + high) // 2
        if _log_wealth(counts, middle / FINENESS) >= log(1 / alpha):
            high = middle
        else:
            low = middle + 1
    return low / FINENESS


def _log_wealth(counts: Counter[float], delta: float) -> float:
    """Return the logarithm of the wealth of bets that the mean difference is below delta."""
    products = [
        log(weight)
        + fsum(
            n * log(1 + bet * (delta - value) / (1 - delta)) for value, n in sorted(counts.items())
        )
        for bet, weight in BETS
    ]
    return _log_sum(products)


def log_ratio_e_value(candidate: int, live: int, percent: float) -> float:
    """Return the logarithm of the e-value that the split of users does not fit the share.

    It compares the share with a mixture of all shares (a beta binomial), and is 1 on average while
    the split is right. It depends on the numbers alone, not on their order.
    """
    share = percent / 100
    a, b = RATIO_WEIGHT * share, RATIO_WEIGHT * (1 - share)
    mixture = _log_beta(a + candidate, b + live) - _log_beta(a, b)
    return mixture - candidate * log(share) - live * log(1 - share)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _log_sum(logs: Sequence[float]) -> float:
    """Return the logarithm of the sum of numbers, given theirs."""
    top = max(logs)
    return top + log(fsum(exp(each - top) for each in logs))
