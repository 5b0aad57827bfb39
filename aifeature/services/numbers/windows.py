"""Sums over a window of time, as a whole or by version, model or stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from django.db import connection

from aifeature.models import NumberSlot
from aifeature.models.functions import database_now
from aifeature.models.numbers import HOUR_S, SLOT_S
from aifeature.policies.buckets import EDGES_MS, Counts
from aifeature.services.numbers.sums import Sums

KEPT_SLOTS: Final = timedelta(hours=60)
"""Age up to which there are rows of five minutes. They are deleted later, after three days."""

KEPT_HOURS: Final = timedelta(days=400)

FINE: Final = timedelta(days=2)
"""Longest span that is summed from five-minute rows."""

COUNTS: Final = (
    *("ended", "failed", "slow", "degraded", "fallbacks", "others"),
    *("calls", "refusals", "input_tokens", "output_tokens"),
    *("cache_read_tokens", "cache_write_tokens", "spend_micro", "cache_saved_micro"),
    *("votes", "votes_down", "guard_hits"),
)
HISTOGRAMS: Final = ("latency", "wait", "ttft")
BUCKETS: Final = len(EDGES_MS) + 1

# A sum for each bucket is several times as fast as unnesting the arrays.
SELECTED: Final = ", ".join(
    (
        *(f"sum({name})::bigint" for name in COUNTS),
        *(f"sum({name}[{at}])::bigint" for name in HISTOGRAMS for at in range(1, BUCKETS + 1)),
    )
)


class By(StrEnum):
    """Columns of `NumberSlot` by which sums are divided."""

    FEATURE = "feature"
    VERSION = "prompt_version"
    MODEL = "model"
    STAGE = "stage"


def sums(
    slug: str | None, begin: datetime, end: datetime, *, by: By | None = None
) -> dict[str, Sums]:
    """Return the sums of the rows that begin from `begin` up to, but without, `end`.

    Windows that touch count nothing twice. Rows are of five minutes for spans up to two days that
    began within 60 hours, else of an hour: align `begin` with `floor`.

    Args:
        slug: A feature; None is all of them.
        begin: Of the first row that counts.
        end: The first moment that does not count.
        by: Keys of the result. Without it, the only key is "", also if there are no rows.

    Example:
        >>> sums("summarize", begin, end, by=By.MODEL)["claude-haiku-5-5"].p95_s  # doctest: +SKIP
        3.2
    """
    column = f"{by.value}" if by else "''::text"
    query = f"""
        SELECT {column}, {SELECTED} FROM {NumberSlot._meta.db_table}
         WHERE span_s = %(span)s AND starts_at >= %(begin)s AND starts_at < %(end)s
               {"AND feature = %(slug)s" if slug is not None else ""}
         GROUP BY 1 ORDER BY 1"""  # noqa: S608, SLF001 (our words)
    values: dict[str, Any] = {"span": span_s(begin, end), "begin": begin, "end": end, "slug": slug}
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        found = {key: of_row(row) for key, *row in cursor.fetchall()}
    return found if by else {"": found.get("", Sums())}


def span_s(begin: datetime, end: datetime) -> int:
    """Return the seconds of the rows that hold this time."""
    is_fine = end - begin <= FINE and begin >= database_now() - KEPT_SLOTS
    return SLOT_S if is_fine else HOUR_S


def floor(moment: datetime, seconds: int) -> datetime:
    """Return the beginning of the row of this many seconds that holds a moment."""
    return moment - timedelta(seconds=moment.timestamp() % seconds)


def of_row(row: Iterable[int | None]) -> Sums:
    """Return the sums of a row of `SELECTED`."""
    values = list(row)
    counts: Mapping[str, Any] = {
        name: value or 0 for name, value in zip(COUNTS, values, strict=False)
    }
    histograms: Mapping[str, Any] = {
        name: _trimmed(values[at : at + BUCKETS])
        for name, at in zip(HISTOGRAMS, range(len(COUNTS), len(values), BUCKETS), strict=True)
    }
    return Sums(**counts, **histograms)


def _trimmed(counts: list[int | None]) -> Counts:
    while counts and not counts[-1]:
        counts.pop()
    return tuple(each or 0 for each in counts)
