"""The latency of a job excludes the time for which a kill switch held it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from aifeature.models import Attempt, ControlChange, FeatureControl, Job, Origin, Status
from aifeature.policies.release import place
from aifeature.services.controls.effective import GLOBAL
from aifeature.services.monitoring import latency, overview
from tests.integration.job_rows import CALL, MakeJob

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
SLUG = "summarize"

Step = tuple[int, bool, int]
"""A minute of today, whether the switch is pulled then, and for how many percent it is off."""


def at(minute: float) -> datetime:
    return MIDNIGHT + timedelta(minutes=minute)


def flipped(*flips: tuple[float, dict[str, Any]], slug: str = SLUG, **before: Any) -> None:
    """Store the audit rows of these flips, each at a minute of today, and the final control."""
    row = FeatureControl(feature=slug, **before)
    for minute, values in flips:
        for field, new in values.items():
            old = str(getattr(row, field))
            ControlChange.objects.create(
                feature=slug, field=field, old=old, new=str(new), reason="r", at=at(minute)
            )
            setattr(row, field, new)
    row.save()


ON, OFF = {"killed": True}, {"killed": False}


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
    flipped((11, ON), (71, OFF))
    assert median() == pytest.approx(5)
    assert overview.today(at(80))[SLUG].p95_s == pytest.approx(300)


def test_the_global_switch_counts_and_no_minute_counts_twice(ended: Callable[..., Job]) -> None:
    ended(10, 75)
    ended(10, 75, feature="another")
    flipped((20, ON), (50, OFF))
    flipped((30, ON), (60, OFF), slug=GLOBAL)
    assert median() == pytest.approx(25)
    assert median("another") == pytest.approx(35)


def test_a_switch_may_be_on_at_midnight_and_still_be_on(ended: Callable[..., Job]) -> None:
    flipped((20, OFF), (60, ON), killed=True)
    ended(10, 75)
    assert median() == pytest.approx(40)


def test_an_audit_row_without_values_is_skipped(ended: Callable[..., Job]) -> None:
    ended(10, 20)
    FeatureControl.objects.create(feature=SLUG)
    ControlChange.objects.create(feature=SLUG, field="killed", reason="r", at=at(12))
    assert median() == pytest.approx(10)


@pytest.mark.parametrize("seed", range(12))
def test_held_time_equals_a_count_by_minutes(ended: Callable[..., Job], seed: int) -> None:
    """Compare for users in and out of a partial release."""
    dice = Random(seed)
    history = {slug: _steps(dice) for slug in (SLUG, GLOBAL)}
    for slug, steps in history.items():
        flips = [(a, {"killed": k, "release_percent": p}) for a, k, p in steps]
        flipped(*flips, slug=slug)
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


def test_the_slowest_answers_without_the_time_they_were_held(ended: Callable[..., Job]) -> None:
    held, slow, quick = ended(10, 75), ended(62, 73), ended(70, 71)
    ended(10, 74, status=Status.FAILED)  # no answer
    ended(10, 60)  # before
    ended(10, 74, origin=Origin.EVAL)
    decided = ended(10, 79, approval_expires_at=at(99))
    times = {"day": MIDNIGHT.date(), "started_at": at(10), "ended_at": at(14)}
    call = {**CALL, **times, "job": decided, "user": decided.user, "feature": SLUG}
    Attempt.objects.create(**call, bound_micro=9, request={})
    flipped((11, ON), (71, OFF))
    found = latency.slowest(SLUG, at(61), at(80), most=3)
    minutes = {pk: round(seconds / 60, 3) for pk, seconds in found.items()}
    assert list(minutes.items()) == [(held.pk, 5), (slow.pk, 2), (decided.pk, 1)]
    assert quick.pk in latency.slowest(SLUG, at(61), at(80), most=9)
