"""Crontabs in a time zone with clock changes: each time of day runs once.

A time that is skipped when clocks go forward runs right after the change. A time that is repeated
when clocks go back runs the first time. An hourly crontab runs in every elapsed hour, including
the repeated one. Debian's cron does the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final

from celery.schedules import crontab, schedstate
from django_celery_beat.tzcrontab import TzAwareCrontab

HORIZON: Final = timedelta(days=8 * 366)
"""A crontab without a run in this time never runs: 29 February is at most eight years away."""

NEVER: Final = "It runs on no day of the next eight years. Choose another day."

_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_HOURS: Final = 24


def next_run(when: crontab, after: datetime) -> datetime | None:
    """Return the first run of a crontab after an aware moment, in UTC; None beyond HORIZON.

    A crontab without a time zone is in UTC.
    """
    zone: tzinfo = getattr(when, "tz", None) or UTC
    after = after.astimezone(UTC)
    # Start a day earlier: a time skipped by a gap at midnight runs on the next day.
    first = after.astimezone(zone).date() - _DAY
    for number in range((HORIZON + 2 * _DAY).days):
        day = first + number * _DAY
        if not _is_on(when, day):
            continue
        later = [moment for moment in _runs(when, day, zone) if moment > after]
        if later:
            return min(later)
    return None


class WallClock(TzAwareCrontab):
    """A crontab with these rules."""

    @classmethod
    def of(cls, when: Any) -> WallClock:
        """Convert a crontab."""
        made: WallClock = cls(
            *(when._orig_minute, when._orig_hour, when._orig_day_of_week),  # noqa: SLF001 (kept for pickling)
            *(when._orig_day_of_month, when._orig_month_of_year),  # noqa: SLF001
            tz=when.tz,
            app=when.app,
        )
        return made

    def remaining_estimate(self, last_run_at: datetime, *_: Any, **__: Any) -> timedelta:
        """Return the time from now until the first run after the last one; negative if overdue."""
        following = next_run(self, last_run_at)
        return HORIZON if following is None else following - self.now().astimezone(UTC)

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Return whether to run now, and the seconds until the next call of this method."""
        remaining = self.remaining_estimate(last_run_at)
        due = remaining <= timedelta()
        if due:
            remaining = self.remaining_estimate(self.now())
        return schedstate(due, max(0.0, remaining.total_seconds()))


def _is_on(when: Any, day: date) -> bool:
    return (
        day.month in when.month_of_year
        and day.day in when.day_of_month
        and day.isoweekday() % 7 in when.day_of_week
    )


def _runs(when: Any, day: date, zone: tzinfo) -> Iterator[datetime]:
    """Yield the runs of one local day, in UTC."""
    every_hour = len(when.hour) == _HOURS
    for hour in when.hour:
        for minute in when.minute:
            yield from _moments(datetime.combine(day, time(hour, minute)), zone, every_hour)


def _moments(wall: datetime, zone: tzinfo, every_hour: bool) -> Iterator[datetime]:  # noqa: FBT001 (of one caller)
    early, late = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    before, after = early.utcoffset(), late.utcoffset()
    if before is None or after is None or before == after:
        yield early.astimezone(UTC)
    elif before > after:  # twice: with the old offset, then with the new one
        yield early.astimezone(UTC)
        if every_hour:
            yield late.astimezone(UTC)
    elif not every_hour:  # never
        yield _change(late.astimezone(UTC), early.astimezone(UTC), zone)


def _change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """Return the moment between these two at which the clocks go forward."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(second=0, microsecond=0)  # clocks change at a full minute
