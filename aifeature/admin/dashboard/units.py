"""Values with their units, and differences from the period before, as text."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from aifeature.money import MICRO_PER_USD

NONE: Final = "-"
"""Shown where there is no value. It is never zero."""

_THOUSAND: Final = 1_000
_MILLION: Final = 1_000_000
_LEAST_POINTS: Final = 0.05
_LEAST_PERCENT: Final = 0.5
"""Smaller changes of a share, or of another value in percent, are shown as none."""

Tone = Literal["good", "bad", ""]


class Unit(StrEnum):
    """Units of charts. The value is what follows a number."""

    COUNT = ""
    PERCENT = "%"
    SECONDS = "s"
    USD = "USD"

    def text(self, value: float | None) -> str:
        """Return a value of this unit, such as `3.1 %` or `$0.0042`."""
        number, unit = self.parts(value)
        return number if not unit or value is None else f"{number} {unit}"

    def parts(self, value: float | None) -> tuple[str, str]:
        """Return number and unit apart, since a card shows the unit smaller."""
        if value is None:
            return NONE, ""
        match self:
            case Unit.COUNT:
                return _count(value), ""
            case Unit.PERCENT:
                return f"{value:.1f}", "%"
            case Unit.SECONDS:
                return (f"{value:.1f}", "s") if value < 100 else (f"{value:,.0f}", "s")  # noqa: PLR2004
            case Unit.USD:
                return _usd(value), ""


@dataclass(frozen=True, slots=True)
class Difference:
    """The change of a value from the period before. `text` is empty if nothing can be compared."""

    text: str = ""
    arrow: Literal["up", "down", "same", ""] = ""
    tone: Tone = ""


def usd(micro: float | None) -> float | None:
    """Return micro-dollars as dollars."""
    return None if micro is None else micro / MICRO_PER_USD


def percent(share: float | None) -> float | None:
    """Return a share from 0 to 1 in percent."""
    return None if share is None else 100 * share


def ratio(part: float, whole: float) -> float | None:
    """Return part by whole; None by zero."""
    return part / whole if whole else None


def difference(
    unit: Unit, now: float | None, before: float | None, *, more_is: Tone = ""
) -> Difference:
    """Return the change as points for percentages, else in percent of the value before.

    A value below zero has no percentage: the change is then in the unit itself.

    Args:
        unit: Of both values.
        now: The value of the range.
        before: That of the period before.
        more_is: Whether a rise is good or bad. Empty: neither.

    Example:
        >>> difference(Unit.PERCENT, 3.0, 1.0, more_is="bad")
        Difference(text='+2.0 points', arrow='up', tone='bad')
    """
    if now is None or before is None or (unit is not Unit.PERCENT and not before):
        return Difference()
    by_points = unit is Unit.PERCENT
    change = now - before if by_points else 100 * (now - before) / abs(before)
    if abs(change) < (_LEAST_POINTS if by_points else _LEAST_PERCENT):
        return Difference("no change", "same")
    if by_points:
        text = f"{change:+.1f} points"
    elif min(now, before) < 0:
        text = f"{'+' if change > 0 else '-'}{unit.text(abs(now - before))}"
    else:
        text = f"{_of_all(change)} %"
    opposite: dict[Tone, Tone] = {"good": "bad", "bad": "good", "": ""}
    is_up = change > 0
    return Difference(text, "up" if is_up else "down", more_is if is_up else opposite[more_is])


def _of_all(change: float) -> str:
    return f"{change:+.1f}" if abs(change) < 10 else f"{change:+,.0f}"  # noqa: PLR2004


def _count(value: float) -> str:
    if value >= _MILLION:
        return f"{value / _MILLION:,.1f} M"
    if value >= 100 * _THOUSAND:
        return f"{value / _THOUSAND:,.0f} k"
    return f"{value:,.0f}"


def _usd(value: float) -> str:
    """Return dollars with the decimals that matter."""
    sign, size = "-" if value < 0 else "", abs(value)
    if size >= _THOUSAND:
        return f"{sign}${size:,.0f}"
    if size >= 1 or not size:
        return f"{sign}${size:,.2f}"
    return f"{sign}${size:.4f}" if size >= 0.0001 else f"{sign}<$0.0001"  # noqa: PLR2004
