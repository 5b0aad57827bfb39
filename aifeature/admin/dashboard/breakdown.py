"""One table of a range by feature, prompt version, model and stage, sorted by any column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aifeature.admin.common.names import title_of
from aifeature.admin.dashboard.stats import per_answer
from aifeature.admin.dashboard.units import Unit, percent
from aifeature.services.numbers.sums import Sums
from aifeature.services.numbers.windows import By

BY: Final[Mapping[str, tuple[By, str]]] = {
    "feature": (By.FEATURE, "Feature"),
    "version": (By.VERSION, "Prompt version"),
    "model": (By.MODEL, "Model"),
    "stage": (By.STAGE, "Stage"),
}
"""By the word in the address: the column, and its title."""


@dataclass(frozen=True, slots=True)
class Field:
    slug: str
    title: str
    model: str
    unit: Unit
    read: Callable[[Sums], float | None]


FIELDS: Final = (
    Field("requests", "Requests", "job", Unit.COUNT, lambda s: s.ended),
    Field("errors", "Errors", "job", Unit.PERCENT, lambda s: percent(s.error_rate)),
    Field("p50", "p50", "job", Unit.SECONDS, lambda s: s.p50_s),
    Field("p95", "p95", "job", Unit.SECONDS, lambda s: s.p95_s),
    Field("down", "Thumbs down", "feedback", Unit.PERCENT, lambda s: percent(s.down_rate)),
    Field("answer", "Cost per answer", "spendwindow", Unit.USD, per_answer),
    Field("refusals", "Refusals", "attempt", Unit.COUNT, lambda s: s.refusals),
    Field("fallbacks", "Fallbacks", "job", Unit.COUNT, lambda s: s.fallbacks),
    Field("degraded", "Plain answers", "job", Unit.COUNT, lambda s: s.degraded),
    Field("guards", "Guard hits", "guardevent", Unit.COUNT, lambda s: s.guard_hits),
)

NAME: Final = "name"


@dataclass(frozen=True, slots=True)
class Head:
    """A column's title, and how it is sorted now: `ascending`, `descending` or empty."""

    slug: str
    title: str
    sorted: str
    next: str
    """The value of `sort` that its link sets."""


@dataclass(frozen=True, slots=True)
class Table:
    heads: tuple[Head, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def table(
    found: Mapping[tuple[str, str], Sums],
    by: str,
    sort: str,
    may_see: Callable[[str], bool],
) -> Table:
    """Return the table, in the order of the address.

    Args:
        found: Sums by feature (empty: all features) and key.
        by: A key of BY.
        sort: A column, with `-` in front for the highest first. Others: most requests first.
        may_see: Returns whether rows of this model may be seen.
    """
    shown = [each for each in FIELDS if may_see(each.model)]
    column, is_down = sort.removeprefix("-"), sort.startswith("-")
    chosen = next((each for each in shown if each.slug == column), None)
    if chosen is None and column != NAME:
        column, is_down = "requests", True
        chosen = next((each for each in shown if each.slug == column), None)
    named = [(name_of(by, *key), sums) for key, sums in found.items()]
    ordered = _ordered(named, chosen.read if chosen else None, is_down=is_down)
    heads = ((NAME, BY[by][1]), *((each.slug, each.title) for each in shown))
    return Table(
        tuple(_head(slug, title, column, is_down=is_down) for slug, title in heads),
        tuple(
            (name, tuple(each.unit.text(each.read(sums)) for each in shown))
            for name, sums in ordered
        ),
    )


def name_of(by: str, slug: str, key: str) -> str:
    """Return the name of a row.

    Example:
        >>> name_of("model", "", "")
        'none: no call was made'
    """
    if by == "feature":
        return title_of(key)
    shown = key or ("none: no call was made" if by in {"model", "version"} else "unknown")
    return f"{title_of(slug)}, {shown}" if slug else shown


def _ordered(
    rows: Iterable[tuple[str, Sums]], read: Callable[[Sums], float | None] | None, *, is_down: bool
) -> Sequence[tuple[str, Sums]]:
    """Return the rows in order. Those without a value are last in both orders."""
    by_name = sorted(rows, key=lambda row: row[0])
    if read is None:
        return by_name[::-1] if is_down else by_name
    known = [row for row in by_name if read(row[1]) is not None]
    unknown = [row for row in by_name if read(row[1]) is None]
    return [*sorted(known, key=lambda row: read(row[1]) or 0.0, reverse=is_down), *unknown]


def _head(slug: str, title: str, column: str, *, is_down: bool) -> Head:
    is_sorted = slug == column
    state = ("descending" if is_down else "ascending") if is_sorted else ""
    first = slug if slug == NAME else f"-{slug}"
    flipped = slug if is_down else f"-{slug}"
    return Head(slug, title, state, flipped if is_sorted else first)
