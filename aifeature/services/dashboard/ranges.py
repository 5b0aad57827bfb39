"""The time ranges of the dashboard, each divided into steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Range:
    """A time up to now. A chart has one point for each step."""

    key: str
    label: str
    length: timedelta
    step_s: int

    @property
    def steps(self) -> int:
        return int(self.length.total_seconds()) // self.step_s

    def begin(self, now: datetime) -> datetime:
        """Return the begin of the first step. The last step holds `now` and is not over yet.

        Steps begin at whole multiples of their length, so that points keep their place.
        """
        last = int(now.timestamp()) // self.step_s * self.step_s
        return datetime.fromtimestamp(last - (self.steps - 1) * self.step_s, UTC)

    def days(self) -> int:
        """Return the length in days, at least one."""
        return max(1, int(self.length.total_seconds()) // _DAY_S)


RANGES: Final[Mapping[str, Range]] = MappingProxyType(
    {
        each.key: each
        for each in (
            Range("1h", "1 hour", timedelta(hours=1), 300),
            Range("24h", "24 hours", timedelta(hours=24), 3_600),
            Range("7d", "7 days", timedelta(days=7), 6 * 3_600),
            Range("28d", "28 days", timedelta(days=28), _DAY_S),
            Range("84d", "84 days", timedelta(days=84), _DAY_S),
        )
    }
)

DEFAULT: Final = RANGES["24h"]


def of(key: str) -> Range:
    """Return the range of an address; the default one for any other text."""
    return RANGES.get(key, DEFAULT)
