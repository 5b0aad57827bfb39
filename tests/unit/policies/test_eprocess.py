"""The tests of a canary are valid: shown by enumeration of all outcomes, without simulation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import product
from math import comb, exp

import pytest

from aifeature.policies import eprocess
from aifeature.policies.eprocess import Block

ROUNDING = 1e-9
RATES = (0.01, 0.05, 0.2, 0.5, 0.9)


def outcomes(rate_a: float, rate_b: float, size: int) -> Iterator[tuple[float, Block]]:
    """Yield each outcome of a block with its probability."""
    for harmed, live in product((0, 1), range(size + 1)):
        chance = (rate_a if harmed else 1 - rate_a) * comb(size, live)
        yield chance * rate_b**live * (1 - rate_b) ** (size - live), Block(harmed, live, size)


def runs(
    rate_a: float, rate_b: float, size: int, number: int
) -> Iterator[tuple[float, list[Block]]]:
    for found in product(list(outcomes(rate_a, rate_b, size)), repeat=number):
        chance = 1.0
        for each, _ in found:
            chance *= each
        yield chance, [block for _, block in found]


@pytest.mark.parametrize("size", [1, 3, 19])
def test_e_value_is_at_most_1_on_average_unless_the_candidate_is_worse(size: int) -> None:
    for theta_b, theta_a in product(RATES, RATES):
        if theta_a <= theta_b:
            continue
        for rate_a, rate_b in product((0.0, *RATES, 1.0), repeat=2):
            mean = sum(
                chance * exp(eprocess.log_e_value(block, theta_a, theta_b))
                for chance, block in outcomes(rate_a, rate_b, size)
            )
            if rate_a <= rate_b:
                assert mean <= 1 + ROUNDING
            if (rate_a, rate_b) == (theta_a, theta_b):
                assert mean > 1


def test_product_over_blocks_stays_valid_although_it_learns_from_them() -> None:
    for rate_a, rate_b in ((0.05, 0.05), (0.5, 0.5), (0.02, 0.2), (0.9, 0.9)):
        mean = sum(
            chance * exp(eprocess.log_curve(blocks)[-1])
            for chance, blocks in runs(rate_a, rate_b, 2, 3)
        )
        assert mean <= 1 + ROUNDING
    worse = [(chance, eprocess.log_curve(b)[-1]) for chance, b in runs(0.5, 0.05, 2, 3)]
    assert sum(chance * exp(each) for chance, each in worse) > 1


def test_later_block_does_not_change_the_curve_before_it() -> None:
    blocks = [Block(i % 5 == 0, i % 3, 4) for i in range(40)]
    assert eprocess.log_curve(blocks)[:10] == eprocess.log_curve(blocks[:10])


def test_bets_against_a_harm_win_nothing_on_average_while_it_is_there() -> None:
    """The upper end is wrong only if the wealth at the true difference grows to 1 / alpha."""
    for rate_a, rate_b in ((0.07, 0.05), (0.5, 0.4), (0.1, 0.3)):
        mean = sum(
            chance * exp(_wealth(blocks, rate_a - rate_b))
            for chance, blocks in runs(rate_a, rate_b, 2, 3)
        )
        assert mean == pytest.approx(1)


def _wealth(blocks: list[Block], delta: float) -> float:
    counts = Counter(block.difference for block in blocks)
    return eprocess._log_wealth(counts, delta)


def test_interval_closes_around_the_difference_and_is_open_without_data() -> None:
    assert eprocess.interval([]) == (-1, 1)
    low, high = eprocess.interval([Block(i % 10 == 0, 1, 20) for i in range(4000)])
    assert low < 0.05 < high
    assert high - low < 0.04
    assert eprocess.interval([Block(0, 0, 1)] * 200)[1] < 0.02


@pytest.mark.parametrize(
    ("percent", "size"), [(1, 99), (5, 19), (10, 9), (20, 4), (30, 2), (40, 1), (50, 1)]
)
def test_block_has_the_share_of_live_users(percent: int, size: int) -> None:
    assert eprocess.controls_per_user(percent) == size


def test_sample_ratio_check_is_valid_and_finds_a_wrong_split() -> None:
    for number in (1, 5, 30):
        mean = sum(
            comb(number, n)
            * 0.1**n
            * 0.9 ** (number - n)
            * exp(eprocess.log_ratio_e_value(n, number - n, 10))
            for n in range(number + 1)
        )
        assert mean == pytest.approx(1)
    assert exp(eprocess.log_ratio_e_value(100, 900, 10)) < 1
    assert exp(eprocess.log_ratio_e_value(50, 950, 10)) > 1000
    assert exp(eprocess.log_ratio_e_value(160, 840, 10)) > 1000
