"""Today beside the trailing days at the same time of day, and launches that raise them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from aifeature.policies.spike import PastDay
from aifeature.services.monitoring.spikes import baseline
from aifeature.services.monitoring.spikes.baseline import AS_USUAL, NOTHING, Announced

DAY = datetime(2026, 11, 18, tzinfo=UTC)
EVEN = [60] * 24
RISING = list(range(24))


def at(hour: int, minute: int = 0) -> datetime:
    return DAY + timedelta(hours=hour, minutes=minute)


@pytest.mark.parametrize(
    ("now", "curve", "so_far", "hour", "half_hour"),
    [
        (at(0), EVEN, 0, 0, 0),
        (at(0, 30), EVEN, 30, 30, 30),
        (at(12), EVEN, 720, 60, 30),
        (at(12, 15), EVEN, 735, 60, 30),
        (at(23, 59), EVEN, 1439, 60, 30),
        (at(3, 30), [8 * each for each in RISING], 8 * (0 + 1 + 2) + 12, 8 * 2 // 2 + 12, 12),
        (at(3, 15), [8 * each for each in RISING], 8 * (0 + 1 + 2) + 6, 12 + 6, 4 + 6),
    ],
)
def test_a_past_day_is_cut_at_the_same_time_with_the_current_hour_in_part(
    now: datetime, curve: list[int], so_far: int, hour: int, half_hour: int
) -> None:
    assert baseline.past_day(curve, *baseline.place(now)) == PastDay(
        so_far, sum(curve), hour, half_hour
    )


def test_today_counts_all_that_is_spent_and_the_latest_hour_slides() -> None:
    today = [0] * 12 + [100, 40] + [0] * 10
    spend = baseline.spend(today, [EVEN], at(13, 15))
    assert (spend.today, spend.latest_hour, spend.latest_half_hour) == (140, 40 + 75, 40 + 25)
    assert spend.hours_left == 10.75
    assert spend.past == (PastDay(60 * 13 + 15, 1440, 60, 30),)


def test_the_exact_latest_half_hour_goes_before_the_estimate() -> None:
    assert baseline.spend(EVEN, [], at(13, 15), half_hour=7).latest_half_hour == 7


def test_days_are_those_of_utc_wherever_the_clock_is() -> None:
    tokyo = at(20).astimezone(ZoneInfo("Asia/Tokyo"))
    assert tokyo.date() == date(2026, 11, 19)
    assert baseline.midnight(tokyo) == DAY


def launch(starts: datetime, ends: datetime, factor: float = 3) -> Announced:
    return Announced(starts, ends, factor)


def test_a_launch_raises_its_hours_and_those_it_covers_in_part_by_that_part() -> None:
    by = baseline.weights([launch(at(9, 30), at(11))], DAY)
    assert by[8:12] == [1, 2, 3, 1]


def test_a_launch_of_yesterday_or_tomorrow_raises_nothing() -> None:
    other_days = [launch(at(-5), at(0)), launch(at(24), at(30))]
    assert baseline.weights(other_days, DAY) == list(AS_USUAL)


def test_of_two_launches_the_greater_counts() -> None:
    both = [launch(at(9), at(11), 2), launch(at(10), at(12), 5)]
    assert baseline.weights(both, DAY)[9:13] == [2, 5, 5, 1]


def test_a_raised_day_stays_raised_after_the_launch() -> None:
    """The spend of its hours is still part of the day."""
    by = baseline.weights([launch(at(9), at(11))], DAY)
    assert (
        baseline.past_day(baseline.raised(EVEN, by), *baseline.place(at(20))).so_far
        == 20 * 60 + 2 * 120
    )
    assert baseline.past_day(baseline.raised(EVEN, by), *baseline.place(at(9))).so_far == 9 * 60


def test_without_a_launch_nothing_is_changed() -> None:
    assert baseline.raised(EVEN, AS_USUAL) == EVEN
    assert sum(NOTHING) == 0
