"""Sums over time, for charts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from aifeature.models import NumberSlot
from aifeature.services.numbers.sums import Sums
from aifeature.services.numbers.windows import SELECTED, floor, of_row, span_s

MOST_POINTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Point:
    """The sums of one step of time."""

    at: datetime
    """Its beginning, in UTC."""
    sums: Sums


def points(slug: str | None, begin: datetime, end: datetime, step_s: int) -> list[Point]:
    """Return a point for each step from `begin` to `end`, also for steps in which nothing happened.

    Steps begin at multiples of `step_s` since 1970 in UTC, so those of a day begin at midnight. The
    first and the last one may be incomplete.

    Args:
        slug: A feature; None is all of them.
        begin: A moment of the first step.
        end: The first moment that does not count.
        step_s: Seconds of a step, a multiple of 300. Below an hour, the time must be within 60
            hours and span two days at most.

    Raises:
        ValueError: the steps are shorter than the rows, or there are more than MOST_POINTS.
    """
    first, step = floor(begin, step_s), timedelta(seconds=step_s)
    count = -(-(end - first) // step)
    span = span_s(begin, end)
    if step_s % span or count > MOST_POINTS:
        raise ValueError(f"steps of {step_s} s do not fit rows of {span} s, or are too many")
    query = f"""
        SELECT floor(extract(epoch FROM starts_at) / %(step)s)::bigint, {SELECTED}
          FROM {NumberSlot._meta.db_table}
         WHERE span_s = %(span)s AND starts_at >= %(begin)s AND starts_at < %(end)s
               {"AND feature = %(slug)s" if slug is not None else ""}
         GROUP BY 1"""  # noqa: S608, SLF001 (our words)
    values: dict[str, Any] = {
        "span": span,
        "begin": first,
        "end": end,
        "slug": slug,
        "step": step_s,
    }
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        found = {number: of_row(row) for number, *row in cursor.fetchall()}
    number = int(first.timestamp()) // step_s
    return [Point(first + at * step, found.get(number + at, Sums())) for at in range(count)]
