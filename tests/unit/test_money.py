"""Amounts are written as documented; none is lost between dollars and micro-dollars."""

from __future__ import annotations

import doctest
from decimal import Decimal

from aifeature import money
from aifeature.admin.common import show


def test_the_examples_hold() -> None:
    found = doctest.testmod(money)
    assert (found.failed, found.attempted) == (0, 3)


def test_an_amount_survives_both_ways() -> None:
    assert money.to_micro(money.to_usd(1_234_567)) == 1_234_567
    assert money.to_micro(Decimal("0.0000019")) == 1
    assert money.to_micro(None) is None


def test_a_half_is_rounded_away_from_zero() -> None:
    assert [money.cents(micro) for micro in (5_000, 15_000, 14_999)] == ["$0.01", "$0.02", "$0.01"]
    assert [show.money(micro) for micro in (1_250, 1_249)] == ["$0.0013", "$0.0012"]
