"""Charts as tables: each column is a line, each row a time. A script draws what the table has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from aifeature.admin.dashboard.units import NONE, Difference, Unit

Role = Literal["a", "b", "c", "d", "before", "limit", "low", "high", "none"]
"""How a column is drawn: four colours of lines; dashed; the threshold; ends of an interval; not."""

LINES: Final = frozenset({"a", "b", "c", "d"})

MARKERS: Final = 40
"""Most changes that are marked in a chart. The newest ones are kept."""


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    values: tuple[float | None, ...]
    role: Role
    unit: Unit | None = None
    """If it differs from the chart's."""


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    raw: str
    """The number, in the unit of its column; empty if there is none."""


@dataclass(frozen=True, slots=True)
class Chart:
    slug: str
    title: str
    model: str
    """The model whose permission shows it."""
    unit: Unit
    labels: tuple[str, ...]
    columns: tuple[Column, ...]
    note: str = ""
    value: str = ""
    """The figure of the whole range, with its unit."""
    change: Difference = field(default_factory=Difference)
    times: tuple[datetime, ...] = ()
    """The begin of each row, to place the markers."""
    is_open: bool = False
    """Whether the last row is not over yet."""
    first: str = "Time (UTC)"
    """Title of the column of labels."""

    @property
    def rows(self) -> list[tuple[str, list[Cell]]]:
        return [
            (label, [self._cell(column, at) for column in self.columns])
            for at, label in enumerate(self.labels)
        ]

    @property
    def body(self) -> SafeString:
        """The rows as HTML. A template takes five times as long for the same."""
        return mark_safe(  # noqa: S308 (each text is escaped)
            "".join(
                f'<tr><th scope="row">{escape(label)}</th>'
                + "".join(f'<td data-raw="{cell.raw}">{escape(cell.text)}</td>' for cell in cells)
                + "</tr>"
                for label, cells in self.rows
            )
        )

    @property
    def heads(self) -> list[tuple[str, str]]:
        """Title and role of each column."""
        return [(self._title(column), column.role) for column in self.columns]

    @property
    def has_data(self) -> bool:
        """Whether a line of the time itself has a value."""
        return any(
            value is not None
            for column in self.columns
            if column.role in LINES
            for value in column.values
        )

    @property
    def summary(self) -> str:
        """The chart in words, for readers without the picture."""
        drawn = [column for column in self.columns if column.role not in {"limit", "none"}]
        parts = [text for column in drawn if (text := self._span(column))]
        return f"{self.title}. {'; '.join(parts)}." if parts else f"{self.title}: no data."

    def _span(self, column: Column) -> str:
        known = [value for value in column.values if value is not None]
        if not known:
            return ""
        unit = column.unit or self.unit
        return f"{column.title}: {unit.text(min(known))} to {unit.text(max(known))}"

    def _title(self, column: Column) -> str:
        unit = self.unit if column.unit is None else column.unit
        return f"{column.title} ({unit.value})" if unit.value else column.title

    def _cell(self, column: Column, at: int) -> Cell:
        value = column.values[at]
        unit = self.unit if column.unit is None else column.unit
        return Cell(NONE, "") if value is None else Cell(unit.text(value), f"{value:.10g}")


@dataclass(frozen=True, slots=True)
class Mark:
    """A change in a chart: its number in the list, and its place in steps from the first point."""

    number: int
    place: float
    at: str
    kind: str
    text: str
    url: str = ""


def labels(times: Sequence[datetime], step_s: int) -> tuple[str, ...]:
    """Return a label for each time in UTC: hours and minutes, or the day.

    Example:
        >>> labels([datetime(2026, 11, 30, 9, 5, tzinfo=UTC)], 300)
        ('09:05',)
    """
    day, hour = 86_400, 3_600
    if step_s >= day:
        form = "%d %b"
    elif step_s > hour:
        form = "%d %b %H:%M"
    else:
        form = "%H:%M"
    return tuple(f"{each.astimezone(UTC):{form}}" for each in times)


def place(at: datetime, times: Sequence[datetime], step_s: float) -> float | None:
    """Return where a change is, in steps from the first time; None if it is not in the chart."""
    if not times:
        return None
    found = (at - times[0]).total_seconds() / step_s
    return found if 0 <= found <= len(times) else None


def level(limit: float, count: int, title: str = "Threshold") -> Column:
    """Return the column of a threshold."""
    return Column(title, (limit,) * count, "limit")
