"""Crontabs of zones with clock changes: each time of day runs once, and no hour is skipped."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from hypothesis import given, settings
from hypothesis import strategies as st

from aifeature.services.watch import broken, gaps, wall_clock
from aifeature.services.watch.wall_clock import WallClock, next_run
from project.beat import Entry
from project.celery import app

ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",  # half an hour off
    "Australia/Lord_Howe",  # changes by half an hour
    "America/Santiago",  # changes at midnight
    "Africa/Casablanca",  # changes around Ramadan
    "Asia/Kolkata",  # never changes
    "UTC",
]
zones = st.sampled_from(ZONES).map(ZoneInfo)
days = st.dates(date(2026, 1, 1), date(2028, 12, 31))
hours = st.sets(st.integers(0, 23), min_size=1, max_size=23)
minutes = st.sets(st.integers(0, 59), min_size=1, max_size=3)


def crontab(zone: ZoneInfo, hours: set[int] | None, minutes: set[int]) -> WallClock:
    made: WallClock = WallClock(  # type: ignore[no-untyped-call]  # its parent has no types
        minute=",".join(map(str, minutes)),
        hour="*" if hours is None else ",".join(map(str, hours)),
        tz=zone,
        app=app,
    )
    return made


def runs(when: WallClock, after: datetime, before: datetime) -> list[datetime]:
    found: list[datetime] = []
    while (run := next_run(when, found[-1] if found else after)) is not None and run < before:
        found.append(run)
    return found


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(0), zone).astimezone(UTC)


def exists(wall: datetime, zone: ZoneInfo) -> bool:
    there = wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
    return there.replace(tzinfo=None, fold=0) == wall


@settings(max_examples=300, deadline=None, database=None)
@given(zone=zones, day=days, hours=hours, minutes=minutes)
def test_each_time_runs_once(zone: ZoneInfo, day: date, hours: set[int], minutes: set[int]) -> None:
    following = day + timedelta(days=1)
    found = runs(
        crontab(zone, hours, minutes),
        midnight(day, zone) - timedelta(seconds=1),
        midnight(following, zone),
    )
    assert found == sorted(set(found))
    walls = [
        datetime.combine(day, time(hour, minute))
        for hour in sorted(hours)
        for minute in sorted(minutes)
    ]
    shown = Counter(run.astimezone(zone).replace(tzinfo=None, fold=0) for run in found)
    for wall in walls:
        if exists(wall, zone):
            assert shown[wall] == 1
    late = [wall for wall in shown if wall not in walls]
    assert len(late) <= 1, "all runs of a gap come at its end"
    for wall in late:
        before = wall - timedelta(minutes=1)
        assert not exists(before, zone), "a run at another time is at the end of a gap"


@settings(max_examples=100, deadline=None, database=None)
@given(zone=zones, day=days, minute=st.integers(0, 59))
def test_an_hourly_crontab_runs_each_hour(zone: ZoneInfo, day: date, minute: int) -> None:
    begin, end = midnight(day, zone), midnight(day + timedelta(days=1), zone)
    found = runs(crontab(zone, None, {minute}), begin - timedelta(seconds=1), end)
    if (end - begin) % timedelta(hours=1):
        return  # changes by half an hour have no count to compare with
    assert len(found) == (end - begin) // timedelta(hours=1)


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("day", "moments"),
    [
        (date(2027, 3, 27), ["2027-03-27T01:30+00:00"]),
        (date(2027, 3, 28), ["2027-03-28T01:00+00:00"]),  # 02:30 does not exist: at 03:00
        (date(2027, 10, 31), ["2027-10-31T00:30+00:00"]),  # 02:30 comes twice: the first
    ],
)
def test_half_past_two_in_berlin(day: date, moments: list[str]) -> None:
    found = runs(
        crontab(BERLIN, {2}, {30}),
        midnight(day, BERLIN),
        midnight(day + timedelta(days=1), BERLIN),
    )
    assert found == [datetime.fromisoformat(moment) for moment in moments]


@pytest.mark.parametrize(
    ("last", "now", "due", "next_s"),
    [
        ("2027-03-27T01:30+00:00", "2027-03-28T00:59+00:00", False, 60),
        ("2027-03-27T01:30+00:00", "2027-03-28T01:00+00:00", True, 84_600),
        ("2027-10-30T00:30+00:00", "2027-10-31T00:30+00:00", True, 90_000),
        ("2027-10-31T00:30+00:00", "2027-10-31T01:30+00:00", False, 86_400),
    ],
)
def test_due_times_in_berlin(
    monkeypatch: pytest.MonkeyPatch, last: str, now: str, due: bool, next_s: float
) -> None:
    when = crontab(BERLIN, {2}, {30})
    monkeypatch.setattr(when, "now", lambda: datetime.fromisoformat(now))
    assert when.is_due(datetime.fromisoformat(last)) == (due, next_s)


def row(**crontab: Any) -> Any:
    made = CrontabSchedule(**{"minute": "0", "hour": "0", **crontab})
    return PeriodicTask(
        name="Own", task="llm.run_job", kwargs='{"job_id": "0"}', crontab=made, queue="llm"
    )


def test_beat_uses_the_wall_clock(db: None) -> None:
    made = row(timezone=BERLIN)
    assert type(Entry(made, app=app).schedule) is WallClock


@pytest.mark.parametrize(
    ("crontab", "runs"),
    [
        ({"day_of_month": "29", "month_of_year": "2"}, True),
        ({"day_of_month": "31", "month_of_year": "1-12"}, True),
        ({"day_of_month": "1", "day_of_week": "1"}, True),
        ({"day_of_month": "31", "month_of_year": "2"}, False),
        ({"day_of_month": "30,31", "month_of_year": "2"}, False),
        ({"day_of_month": "31", "month_of_year": "4,6,9,11"}, False),
    ],
    ids=str,
)
def test_an_impossible_day_is_refused(db: None, crontab: dict[str, str], runs: bool) -> None:
    assert (broken.problems(row(**crontab)) == []) == runs


def test_a_day_that_comes_once_in_decades_counts_as_never(db: None) -> None:
    """29 February on one day of the week comes every 28 years."""
    rows = [
        row(day_of_month="29", month_of_year="2", day_of_week=str(day_of_week))
        for day_of_week in range(7)
    ]
    answers = [broken.problems(each) for each in rows]
    assert answers.count([("crontab", wall_clock.NEVER)]) >= 4


def test_a_check_is_not_late_on_the_longer_day() -> None:
    day_s = 24 * 3600
    assert gaps.gap_s(crontab(BERLIN, {2}, {30})) == day_s + 3600
    assert gaps.gap_s(crontab(ZoneInfo("UTC"), {2}, {30})) == day_s
    assert gaps.gap_s(crontab(BERLIN, None, {30})) == 3600
