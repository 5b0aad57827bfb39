"""A chart as a CSV file that no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
from typing import Final

from aifeature.admin.dashboard.charts import Chart

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins with one of these may run as a formula. Source: OWASP, CSV injection."""


def text(chart: Chart) -> str:
    """Return the table of a chart. Numbers are plain, and a gap is empty."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([safe(each) for each in (chart.first, *(title for title, _ in chart.heads))])
    stamps = [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in chart.times] or [
        safe(label) for label in chart.labels
    ]
    for stamp, (_, cells) in zip(stamps, chart.rows, strict=True):
        writer.writerow([stamp, *(cell.raw for cell in cells)])
    return file.getvalue()


def safe(value: str) -> str:
    """Return a text that begins with no character of a formula.

    Example:
        >>> safe("=1+1")
        "'=1+1"
    """
    return f"'{value}" if value.startswith(FORMULA) else value
