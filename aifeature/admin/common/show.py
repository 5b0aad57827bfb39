"""Display formats of money, times and content. Text from users is escaped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Self

from django.contrib import admin
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString

from aifeature.money import MICRO_PER_USD, cents, rounded

NO_LIMIT = 1_000_000_000
"""Limits from this value on count as no limit."""

MINUTE, HOUR, DAY = 60, 3_600, 86_400
_UNITS = ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min"), (MINUTE, "min", 1, "s"))

Column = Callable[[Any, Any], str]
"""A column of a ModelAdmin, called with the admin and the row."""


class Labelled(tuple[str, str]):
    """Colour key and text of a label, for a column with `@display(label=...)`.

    A list shows the tuple as a coloured label; a detail page shows the text.
    """

    __slots__ = ()

    def __new__(cls, key: str, text: str) -> Self:
        return super().__new__(cls, (key, text))

    def __html__(self) -> str:
        return escape(self[1])


def dollars(micro: int) -> str:
    """Return micro-dollars as dollars with six decimals, for example `$0.001250`."""
    return f"${micro // MICRO_PER_USD:,}.{micro % MICRO_PER_USD:06d}"


def money(micro: int) -> str:
    """Return micro-dollars as dollars: with cents from one dollar on, else with four decimals."""
    if 0 < micro < MICRO_PER_USD // 10_000:
        return "<$0.0001"
    if 0 < micro < MICRO_PER_USD:
        return f"${rounded(micro, places=4)}"
    return cents(micro)


def span(seconds: float) -> str:
    """Return a duration with two digits and a unit, or with two units."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004 (tenths below 10 s)
        return f"{seconds:.1f} s"
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    for size, unit, part, part_unit in _UNITS:
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            return f"{whole} {unit} {rest // part} {part_unit}"
    raise AssertionError("the last unit takes the rest")


def utc(moment: datetime | None) -> str:
    """Return a time to the second with its zone; a dash for None."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else "-"


def moment(at: datetime | None) -> SafeString:
    """Return `utc` on one line, for a table cell."""
    return format_html('<span class="aif-nowrap">{}</span>', utc(at))


def content(value: object) -> SafeString:
    """Return text, or another value as indented JSON, escaped in a scrollable box."""
    if value in (None, ""):
        return format_html("<em>{}</em>", "none")
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return format_html('<pre class="aif-box" tabindex="0">{}</pre>', text)


def as_sent(request: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return title and text of each part of a provider request: system prompt and messages."""
    sent = request or {}
    messages = [(f"Message as sent: {m['role']}", m["content"]) for m in sent.get("messages", ())]
    parts = [("System prompt as sent", sent.get("system", "")), *messages]
    return [(title, text) for title, text in parts if text]


def moment_column(field: str, title: str) -> Column:
    """Return a column that shows a time field in UTC and sorts by it."""

    @admin.display(description=title, ordering=field)
    def column(_admin: Any, row: Any) -> str:
        return moment(getattr(row, field))

    return column


def dollar_column(field: str, title: str) -> Column:
    """Return a column that shows micro-dollars as dollars and sorts by them."""

    @admin.display(description=title, ordering=field)
    def column(_admin: Any, row: Any) -> str:
        return dollars(getattr(row, field))

    return column


def content_column(field: str, title: str) -> Column:
    """Return a field of a detail page that shows text or JSON in a box."""

    @admin.display(description=title)
    def column(_admin: Any, row: Any) -> str:
        return content(getattr(row, field))

    return column


def figures(found: Mapping[str, Any] | None) -> str:
    """Return a check's figures on one line, with micro-dollars as dollars."""
    return ", ".join(_figure(name, value) for name, value in (found or {}).items()) or "-"


def _figure(name: str, value: object) -> str:
    if name.endswith("_micro") and isinstance(value, int):
        return f"{name.removesuffix('_micro').replace('_', ' ')} {money(value)}"
    return f"{name.replace('_', ' ')} {value}"
