"""How admin shows money, moments and content. Everything that users wrote is escaped."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

MICRO = 1_000_000

Column = Callable[[Any, Any], str]
"""A column of a ModelAdmin: called with the admin and the row."""


def dollars(micro: int) -> str:
    """An amount of micro-dollars as dollars with six decimals, for example `$0.001250`."""
    return f"${micro // MICRO:,}.{micro % MICRO:06d}"


def utc(moment: datetime | None) -> str:
    """A moment to the second, with its zone; a dash for none."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else "-"


def content(value: object) -> SafeString:
    """Text, or anything else as indented JSON, escaped, in a box that scrolls."""
    if value in (None, ""):
        return format_html("<em>{}</em>", "none")
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return format_html(
        '<pre style="max-height:32rem;overflow:auto;white-space:pre-wrap">{}</pre>', text
    )


def moment_column(field: str, title: str) -> Column:
    """A column that shows a time field in UTC and sorts by it."""

    @admin.display(description=title, ordering=field)
    def column(_admin: Any, row: Any) -> str:
        return utc(getattr(row, field))

    return column


def dollar_column(field: str, title: str) -> Column:
    """A column that shows a field of micro-dollars as dollars and sorts by it."""

    @admin.display(description=title, ordering=field)
    def column(_admin: Any, row: Any) -> str:
        return dollars(getattr(row, field))

    return column


def content_column(field: str, title: str) -> Column:
    """A field of a detail page that shows text or JSON in a box."""

    @admin.display(description=title)
    def column(_admin: Any, row: Any) -> str:
        return content(getattr(row, field))

    return column
