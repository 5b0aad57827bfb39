"""Tracker of the last hours, and the week by hour: what unfold's components draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aifeature.admin.dashboard.units import Unit, percent
from aifeature.policies import numbers
from aifeature.policies.numbers import NumberLevel
from aifeature.services.numbers.sums import Sums

Hours = Sequence[tuple[datetime, Sums]]

BLOCK_H: Final = 4
"""Hours of a column of the week."""

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

WORDS: Final = {"good": "green", "doubt": "amber", "bad": "red", "none": "no requests"}


@dataclass(frozen=True, slots=True)
class Tracker:
    """The last hours of a feature, one item each."""

    title: str
    items: tuple[dict[str, str], ...]
    """As unfold's `tracker` takes them: color and tooltip."""
    not_green: tuple[str, ...]
    """The amber and red hours in words."""
    summary: str


def tracker(title: str, hours: Hours) -> Tracker:
    """Return the tracker of a feature's hours, oldest first."""
    levels = [(at, sums, tone_of(sums)) for at, sums in hours]
    counts = {tone: sum(each[2] == tone for each in levels) for tone in WORDS}
    worse = [_in_words(*each) for each in levels if each[2] in {"doubt", "bad"}]
    return Tracker(
        title,
        tuple(
            {"color": f"aif-hour {tone}", "tooltip": _in_words(at, sums, tone)}
            for at, sums, tone in levels
        ),
        tuple(reversed(worse)),
        ", ".join(f"{count} h {WORDS[tone]}" for tone, count in counts.items() if count),
    )


def tone_of(sums: Sums) -> str:
    """Return the worse of the levels of errors and latency in an hour.

    Levels are those of the six numbers without their least sample, since an hour may have few
    requests: amber is shown, and nothing acts on it.
    """
    if not sums.ended:
        return "none"
    levels = {
        numbers.errors(sums.failed, sums.ended).level,
        numbers.latency(sums.p95_s, sums.slow, sums.timed).level,
    }
    if NumberLevel.RED in levels:
        return "bad"
    is_high = sums.failed > numbers.RULES[numbers.Six.ERRORS].threshold * sums.ended
    is_slow = sums.slow > numbers.SLOW_SHARE * max(1, sums.timed)
    return "doubt" if is_high or is_slow else "good"


def week(rows: Iterable[tuple[int, int, int, int]]) -> dict[str, Any]:
    """Return requests and error rates by weekday and time of day, as unfold's `cohort` takes them.

    Args:
        rows: Weekday (0: Monday), hour, ended and failed requests, added up over some weeks.
    """
    ended: Counter[tuple[int, int]] = Counter()
    failed: Counter[tuple[int, int]] = Counter()
    for day, hour, count, errors in rows:
        ended[day, hour // BLOCK_H] += count
        failed[day, hour // BLOCK_H] += errors
    most = max(ended.values(), default=0)
    blocks = range(24 // BLOCK_H)
    return {
        "headers": [
            {"title": f"{block * BLOCK_H:02d} to {(block + 1) * BLOCK_H:02d} h"} for block in blocks
        ],
        "rows": [
            {
                "header": {"title": name},
                "cols": [_col(ended[day, block], failed[day, block], most) for block in blocks],
            }
            for day, name in enumerate(DAYS)
        ],
    }


def _col(count: int, failed: int, most: int) -> dict[str, str]:
    if not count:
        return {"value": "0", "subtitle": ""}
    heat = 1 + min(4, 5 * count // (most + 1))
    errors = Unit.PERCENT.text(percent(failed / count))
    return {
        "value": Unit.COUNT.text(count),
        "subtitle": f"{errors} errors",
        "color": f"aif-heat aif-heat-{heat}",
    }


def _in_words(at: datetime, sums: Sums, tone: str) -> str:
    if tone == "none":
        return f"{at:%a %d %b %H:00} UTC: no requests"
    slow = f", p95 {Unit.SECONDS.text(sums.p95_s)}" if sums.timed else ""
    return f"{at:%a %d %b %H:00} UTC, {WORDS[tone]}: {sums.failed:,} of {sums.ended:,} failed{slow}"
