"""Intervals, against values computed by hand or taken from their papers."""

from __future__ import annotations

import pytest

from aifeature.policies.intervals import Nps, Share, newcombe, wilson


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    # Source: Newcombe 1998 (the first four), and the limits at the ends by hand: z²/(n+z²).
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ],
)
def test_wilson(count: int, total: int, low: float, high: float) -> None:
    found = wilson(count, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    # Source: Newcombe 1998, table II, method 10.
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_newcombe(one: tuple[int, int], other: tuple[int, int], low: float, high: float) -> None:
    found = newcombe(Share(*one), Share(*other))
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_nps() -> None:
    found = Nps.of({10: 5, 9: 1, 8: 2, 6: 1, 0: 1})
    assert (found.promoters, found.passives, found.detractors) == (6, 2, 2)
    assert found.score == 40
    # Of 13 answers 6.75 and 2.75: 30.77 +- 196.00 * sqrt((.5192 + .2115 - .3077 ** 2) / 13).
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((-12.59, 74.13), abs=0.01)
    assert Nps.of({}).interval is None
    alike = Nps.of({10: 3}).interval
    assert alike is not None
    assert alike.low < 50, "three answers are no certainty"
    assert Share(0, 0).rate is None
    assert Share(0, 0).interval is None
