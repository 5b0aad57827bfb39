"""How long jobs took does not count the time a kill switch held them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from aifeature.models import ControlChange, FeatureControl, Job, Status
from aifeature.policies.release import place
from aifeature.services import latency, overview
from aifeature.services.control import EVERYTHING
from tests.integration.jobs.conftest import MakeJob, ada, make_job

__all__ = ["ada", "make_job"]

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
SLUG = "summarize"

Step = tuple[int, bool, int]
"""A minute of today, whether the switch is pulled then, and for how many percent it is off."""


def at(minute: float) -> datetime:
    return MIDNIGHT + timedelta(minutes=minute)


def flip(minute: float, slug: str = SLUG, **values: Any) -> None:
    """What a flip at this minute of today leaves behind."""
    row, _ = FeatureControl.objects.get_or_create(feature=slug)
    for field, new in values.items():
        old = str(getattr(row, field))
        ControlChange.objects.create(
            feature=slug, field=field, old=old, new=str(new), reason="r", at=at(minute)
        )
        setattr(row, field, new)
    row.save()


@pytest.fixture
def ended(make_job: MakeJob) -> Callable[..., Job]:
    def make(begin: float, end: float, **values: Any) -> Job:
        values.setdefault("status", Status.SUCCEEDED)
        return make_job(created_at=at(begin), finished_at=at(end), **values)

    return make


def median(slug: str = SLUG) -> float:
    """In minutes."""
    return latency.percentiles(MIDNIGHT, sample=100)[slug][0] / 60


def test_the_time_for_which_a_job_was_held_does_not_count(ended: Callable[..., Job]) -> None:
    ended(10, 75)
    assert median() == pytest.approx(65)
    flip(11, killed=True)
    flip(71, killed=False)
    assert median() == pytest.approx(5)
    assert overview.today(at(80))[SLUG].p95_s == pytest.approx(300)


def test_the_switch_of_everything_holds_too_and_no_minute_counts_twice(
    ended: Callable[..., Job],
) -> None:
    ended(10, 75)
    ended(10, 75, feature="another")
    flip(20, killed=True)
    flip(30, EVERYTHING, killed=True)
    flip(50, killed=False)
    flip(60, EVERYTHING, killed=False)
    assert median() == pytest.approx(25)
    assert median("another") == pytest.approx(35)


def test_a_switch_that_was_on_before_midnight_and_one_that_still_is(
    ended: Callable[..., Job],
) -> None:
    FeatureControl.objects.create(feature=SLUG, killed=True)
    flip(20, killed=False)
    flip(60, killed=True)
    ended(10, 75)
    assert median() == pytest.approx(40)


def test_a_row_of_the_trail_that_says_nothing_is_passed_over(ended: Callable[..., Job]) -> None:
    ended(10, 20)
    FeatureControl.objects.create(feature=SLUG)
    ControlChange.objects.create(feature=SLUG, field="killed", reason="r", at=at(12))
    assert median() == pytest.approx(10)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_was_flipped_when_and_for_whom(ended: Callable[..., Job], seed: int) -> None:
    """Compared with each minute of each job, for users in and out of a partial release."""
    dice = Random(seed)
    history = {slug: _steps(dice) for slug in (SLUG, EVERYTHING)}
    for slug, steps in history.items():
        for minute, killed, percent in steps:
            flip(minute, slug, killed=killed, release_percent=percent)
    for number in range(4):
        user = User.objects.create_user(f"user{number}")
        begin = dice.randint(0, 500)
        end = begin + dice.randint(1, 300)
        with transaction.atomic():
            ended(begin, end, user=user)
            held = sum(
                any(_holds(slug, steps, minute, user) for slug, steps in history.items())
                for minute in range(begin, end)
            )
            assert median() == pytest.approx(end - begin - held)
            transaction.set_rollback(True)


def _steps(dice: Random) -> list[Step]:
    minutes = sorted(dice.sample(range(1, 600), dice.randint(0, 5)))
    return [(minute, dice.random() < 0.5, dice.choice([10, 50, 90, 100])) for minute in minutes]


def _holds(slug: str, steps: list[Step], minute: int, user: User) -> bool:
    spans = pairwise([*steps, (10**6, False, 100)])
    now = ((killed, percent) for (a, killed, percent), (b, *_) in spans if a <= minute < b)
    killed, percent = next(now, (False, 100))
    return killed or place(slug, user.pk) >= percent
