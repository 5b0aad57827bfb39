"""Money in whole micro-dollars, and its display in dollars."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

MICRO_PER_USD: Final = 1_000_000
MICRO_PER_CENT: Final = MICRO_PER_USD // 100


def to_micro(usd: Decimal | None) -> int | None:
    """Return dollars as whole micro-dollars, rounded down; None stays None (no cap)."""
    return None if usd is None else int(usd * MICRO_PER_USD)


def to_usd(micro: int) -> Decimal:
    """Return micro-dollars as dollars."""
    return Decimal(micro) / MICRO_PER_USD


def rounded(micro: int, *, places: int) -> Decimal:
    """Return micro-dollars as dollars with `places` decimals, a half rounded away from zero."""
    return to_usd(micro).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def exact(micro: int) -> str:
    """Format micro-dollars as dollars with six decimals.

    >>> exact(-1250)
    '-0.001250'
    """
    sign = "-" if micro < 0 else ""
    return f"{sign}{abs(micro) // MICRO_PER_USD}.{abs(micro) % MICRO_PER_USD:06d}"


def cents(micro: int) -> str:
    """Format micro-dollars as dollars with two decimals.

    >>> cents(1_234_567_890)
    '$1,234.57'
    """
    return f"${rounded(micro, places=2):,}"


def cents_up(micro: int) -> str:
    """Format micro-dollars as dollars with two decimals, rounded up.

    >>> cents_up(10_001)
    '$0.02'
    """
    return cents(-(-micro // MICRO_PER_CENT) * MICRO_PER_CENT)
