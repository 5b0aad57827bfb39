"""Shares, such as pass rates, in words."""

from __future__ import annotations

from collections.abc import Mapping


def percent(share: float) -> str:
    return f"{share:.1%}"


def span(interval: Mapping[str, float]) -> str:
    """Return an interval of shares, such as `83.1% to 94.5%`."""
    return f"{percent(interval['low'])} to {percent(interval['high'])}"


def points(value: float) -> str:
    """Return percentage points with their sign, such as `-12.0` or `+3.1`."""
    rounded = round(value, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"
