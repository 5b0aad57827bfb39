"""Sums up jobs, calls, votes and findings of guards into rows of five minutes and hours.

A tick sums the current hour again, so it may be killed or run twice. Times that were missed are
made up in small transactions, a few in each tick.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction

from aifeature.models import NumberSlot, SummedTime
from aifeature.models.numbers import HOUR_S, SLOT_S
from aifeature.services.numbers import sources
from aifeature.services.numbers.windows import KEPT_HOURS, floor

LATE: Final = timedelta(minutes=20)
"""Age up to which what was summed changes: a lost call is closed after 15 minutes."""

KEPT_SLOTS: Final = timedelta(days=3)
HISTORY: Final = timedelta(days=35)
"""Time before the first tick that is made up."""

CHUNK: Final = timedelta(hours=6)
"""Time that one transaction sums, which takes a tenth of a second at a million calls a month."""

CHUNKS: Final = 1
"""Chunks that one tick makes up: of what was missed, or else of the history."""

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


def roll_up(now: datetime) -> int:
    """Sum up the last hour, and times that were missed. Return the number of changed rows.

    Raises:
        django.db.Error: the database is unavailable, or locked for two seconds. Nothing is lost.
    """
    recent = floor(now - LATE, HOUR_S)
    with _alone() as is_alone:
        if not is_alone:
            return 0
        changed = sources.sum_up(recent, now, span_s=SLOT_S) + sources.sum_hours(recent, now)
        final, _ = SummedTime.objects.get_or_create(
            pk=SummedTime.ONLY, defaults={"begins": recent, "ends": recent}
        )
    changed += _backward(now) if final.ends == recent else _forward(recent, now)
    # A clock that jumps ahead for a moment must not delete what is still needed.
    _prune(min(now, SummedTime.objects.get().ends + CHUNK))
    return changed


def backfill(since: datetime, until: datetime) -> int:
    """Sum up a history that was loaded. Return the number of changed rows.

    Old hours come straight from the sources, in one transaction. The next tick goes on from there.
    """
    begin = floor(since, HOUR_S)
    fine = max(begin, floor(until - KEPT_SLOTS, HOUR_S))
    with transaction.atomic():
        changed = sources.sum_up(begin, fine, span_s=HOUR_S)
        changed += sources.sum_up(fine, until, span_s=SLOT_S) + sources.sum_hours(fine, until)
        for day in _days(begin - _HOUR, until - _DAY):
            changed += sources.sum_day(day)
        row, is_new = SummedTime.objects.get_or_create(
            pk=SummedTime.ONLY, defaults={"begins": begin, "ends": floor(until, HOUR_S)}
        )
        if not is_new and begin < row.begins <= until:
            SummedTime.objects.filter(pk=row.pk).update(begins=begin)
    return changed


def _forward(recent: datetime, now: datetime) -> int:
    """Sum up what follows the final time. If the clock went back, only its end changes."""
    changed = 0
    for _ in range(CHUNKS):
        with _alone() as is_alone:
            begin = SummedTime.objects.get().ends
            end = min(begin + CHUNK, recent)
            if not is_alone or begin == end:
                break
            if begin < end:
                changed += _sum(begin, end, now)
            for day in _days(begin - _DAY, end - _DAY):
                changed += sources.sum_day(day)
            SummedTime.objects.update(ends=end)
    return changed


def _backward(now: datetime) -> int:
    """Sum up what precedes the summed time, the newest first."""
    changed = 0
    for _ in range(CHUNKS):
        with _alone() as is_alone:
            final = SummedTime.objects.get()
            end = final.begins
            if not is_alone or end <= now - HISTORY:
                break
            begin = floor(end - CHUNK, HOUR_S)
            changed += _sum(begin, end, now)
            for day in _days(begin - _HOUR, end - _HOUR):
                if day + _DAY <= final.ends:
                    changed += sources.sum_day(day)
            SummedTime.objects.update(begins=begin)
    return changed


def _sum(begin: datetime, end: datetime, now: datetime) -> int:
    """Sum up whole hours. Old ones have no rows of five minutes."""
    if begin < now - KEPT_SLOTS:
        return sources.sum_up(begin, end, span_s=HOUR_S)
    return sources.sum_up(begin, end, span_s=SLOT_S) + sources.sum_hours(begin, end)


def _days(since: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the UTC days that begin after `since`, up to `until`."""
    day = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    while day <= until:
        yield day
        day += _DAY


def _prune(now: datetime) -> None:
    for span_s, kept in ((SLOT_S, KEPT_SLOTS), (HOUR_S, KEPT_HOURS)):
        NumberSlot.objects.filter(span_s=span_s, starts_at__lt=now - kept).delete()


@contextmanager
def _alone() -> Iterator[bool]:
    """Begin a transaction, and yield whether no other one sums up at the same time."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', '2s', true),"
            " pg_try_advisory_xact_lock(hashtext('aif_numbers'))"
        )
        yield bool(cursor.fetchone()[1])
