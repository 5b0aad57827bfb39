"""Projected spend for another number of users, against simulated use with heavy tails."""

from __future__ import annotations

import random

import pytest

from aifeature.policies.projection import Projection, project

WEEK = {user: [1_000_000] * 7 for user in range(10)}


def test_equal_users_and_days_leave_no_doubt() -> None:
    assert project(WEEK, users_now=10, users_after=20) == Projection(*[20_000_000] * 3)
    assert project(WEEK, users_now=10, users_after=0) == Projection(0, 0, 0)


def test_users_without_spend_count_with_zero() -> None:
    found = project(WEEK, users_now=20, users_after=40)
    assert found is not None
    assert found.low < found.mid == 20_000_000 < found.high


@pytest.mark.parametrize(
    "spend",
    [
        {},
        {user: [1_000_000] * 7 for user in range(4)},
        {user: [0, 0, 5, 5, 0, 0, 0] for user in range(10)},
        {user: [5, 5] for user in range(10)},
    ],
    ids=["nothing", "four users", "two days with spend", "two days"],
)
def test_too_little_data_is_unknown(spend: dict[int, list[int]]) -> None:
    assert project(spend, users_now=100, users_after=200) is None


@pytest.mark.parametrize(
    ("now", "after", "active", "sigma", "of_day"),
    [
        (200, 400, 0.3, 1.0, 0.1),
        (200, 1_000, 0.3, 1.5, 0.2),
        (40, 200, 0.3, 1.0, 0.1),
        (100, 50, 0.5, 1.0, 0.2),
        (60, 600, 0.5, 2.0, 0.2),
    ],
)
def test_the_interval_covers_a_later_day(
    now: int, after: int, active: float, sigma: float, of_day: float
) -> None:
    """Log-normal users and days: nine of ten intervals should contain the spend of a later day."""
    covered = [
        _covers(random.Random(seed), now, after, active, sigma, of_day) for seed in range(60)
    ]
    assert 0.8 <= sum(covered) / len(covered) <= 1


def _covers(
    dice: random.Random, now: int, after: int, active: float, sigma: float, of_day: float
) -> bool:
    def user() -> float:
        return dice.lognormvariate(0, sigma) if dice.random() < active else 0.0

    def day(users: list[float]) -> list[int]:
        common = dice.lognormvariate(0, of_day)
        return [round(1e5 * one * common * dice.lognormvariate(0, 0.5)) for one in users]

    users = [user() for _ in range(now)]
    days = [day(users) for _ in range(7)]
    spend = {i: [each[i] for each in days] for i in range(now) if users[i]}
    found = project(spend, users_now=now, users_after=after)
    assert found is not None
    more = [user() for _ in range(after - now)]
    later = sum(day([*users, *more] if after > now else dice.sample(users, after)))
    return found.low <= later <= found.high


def test_users_without_spend_take_no_memory() -> None:
    many = 10**12
    found = project(WEEK, users_now=many, users_after=many)
    assert found is not None
    assert found.mid == 10_000_000
