"""Intervals of scheduled tasks, and the age at which a check is late."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

from celery.schedules import crontab, schedule
from django.conf import settings

DAY_S: Final = 86_400
_HOUR_S: Final = 3_600
_HOURS: Final = 24
_WEEK_MIN: Final = 7 * 24 * 60
_MONTH_S: Final = 31 * DAY_S

LATE_INTERVALS: Final = 3
LATE_DAILY_S: Final = 3600
LEAST_LATE_S: Final = 60
"""Least seconds beyond its interval after which a check is late. With fewer, each worker restart in
a deploy would page on-call."""

ONCE_PER_S: Final[Mapping[str, int]] = MappingProxyType(
    {
        "control.cost_spike": 60,
        "control.numbers": 60,
        "control.retention": DAY_S,
        "evals.drive": 60,  # it waits for a thread while evaluations call a model in each
        "evals.weekly": DAY_S,
        "shadows.drive": 60,  # as evals.drive
    }
)
"""Tasks that run once per period of this many seconds, even if they are sent more often."""


def sent_every() -> dict[str, float]:
    """Return the seconds between two sends of each task in the code's schedule."""
    gaps: dict[str, float] = {}
    for entry in settings.CELERY_BEAT_SCHEDULE.values():
        gap = gap_s(entry["schedule"])
        if gap is not None:
            gaps[entry["task"]] = min(gap, gaps.get(entry["task"], gap))
    return gaps


def run_every(task: str, gap: float) -> float:
    """Return the seconds between two runs of a task that is sent every `gap` seconds."""
    return max(gap, ONCE_PER_S.get(task, 0))


def allowed_s(gap: float) -> float:
    """Return the age of the last run in seconds after which a check is late."""
    if gap >= DAY_S:
        return gap + LATE_DAILY_S
    return gap + max(LATE_INTERVALS * gap, LEAST_LATE_S)


def gap_s(when: Any) -> float | None:
    """Return the longest seconds between two runs of a Celery schedule.

    `when` may be a number of seconds. Returns None for kinds without an interval.
    """
    if isinstance(when, int | float):
        return float(when)
    untyped: Any = when  # the stubs lack these attributes
    if isinstance(when, crontab):
        every_day = len(untyped.day_of_month) == 31 and len(untyped.month_of_year) == 12  # noqa: PLR2004
        sets = (frozenset(each) for each in (untyped.minute, untyped.hour, untyped.day_of_week))
        gap = _crontab_gap_s(*sets, every_day=every_day)
        # When clocks go back, a crontab of certain hours runs an hour later.
        changes = gap >= _HOUR_S and str(getattr(untyped, "tz", "UTC")) != "UTC"
        return gap + _HOUR_S * (changes and len(untyped.hour) < _HOURS)
    if type(when) is schedule:
        seconds: float = untyped.run_every.total_seconds()
        return seconds
    return None


@cache
def _crontab_gap_s(
    minutes: frozenset[int], hours: frozenset[int], days: frozenset[int], *, every_day: bool
) -> float:
    """Return the longest gap in a week. For a crontab with days of a month or months, a month."""
    if not every_day:
        return _MONTH_S
    runs = [
        minute
        for minute in range(_WEEK_MIN)
        if minute % 60 in minutes and minute // 60 % 24 in hours and minute // 1440 in days
    ]
    if not runs:
        return _MONTH_S
    return 60.0 * max(b - a for a, b in pairwise([*runs, runs[0] + _WEEK_MIN]))
