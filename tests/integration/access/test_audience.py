"""The number of users who see a feature is counted in SQL by the rules that decide in Python."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from django.contrib.auth.models import Group, User

from aifeature.models import AccessBlock, BetaMember, Stage
from aifeature.models.functions import rows
from aifeature.policies.percent import place, place_for
from aifeature.services import access, controls, evaluations
from aifeature.spec import Feature
from tests.integration.access.conftest import Narrow, put

pytestmark = pytest.mark.slow

USERS = 300
GATES = [
    *product(Stage, (30,), (0,)),
    *product((Stage.BETA, Stage.PERCENT, Stage.EVERYONE), (50,), (20,)),
    (Stage.PERCENT, 0, 0),
    (Stage.PERCENT, 100, 50),
]
"""Stage, percent, hold-out."""


@pytest.fixture
def crowd(summarize: Feature) -> list[User]:
    """Users of all kinds, mixed: staff, closed, invited, members, in a group, blocked."""
    dice = random.Random(17)
    users = User.objects.bulk_create(
        User(
            username=f"user-{number}",
            is_staff=dice.random() < 0.05,
            is_active=dice.random() > 0.1,
        )
        for number in range(USERS)
    )
    control, group = put(), Group.objects.create(name="pilots")
    control.beta_groups.add(group)

    def some(share: float) -> list[User]:
        return [user for user in users if dice.random() < share]

    control.beta_users.set(some(0.1))
    group.user_set.set(some(0.1))
    BetaMember.objects.bulk_create(BetaMember(feature="summarize", user=each) for each in some(0.1))
    BetaMember.objects.bulk_create(BetaMember(feature="triage", user=each) for each in some(0.1))
    ends = (None, datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) - timedelta(days=1))
    AccessBlock.objects.bulk_create(
        AccessBlock(user=each, feature=slug, expires_at=end, reason="test")
        for slug, end in product(("summarize", "", "triage"), ends)
        for each in some(0.02)
    )
    controls.clear_cache()
    return users


def test_sql_and_python_decide_the_same(
    crowd: list[User], summarize: Feature, narrow: Narrow
) -> None:
    sizes = set()
    for stage, percent, holdout in GATES:
        put(stage=stage, percent=percent, holdout_percent=holdout)
        for staff_only in (False, True) if stage == Stage.PERCENT else (False,):
            narrow(staff_only=staff_only)
            seen = {u.pk for u in crowd if u.is_active and access.is_visible(summarize, u)}
            arguments = ("summarize", stage.value, percent, holdout, staff_only)
            assert {user for (user,) in rows("aif_admitted", *arguments)} == seen
            assert access.audience("summarize") == len(seen)
            sizes.add(len(seen))
    assert len(sizes) > 6, "the gates differ"


def test_the_audience_of_other_values_is_counted_without_setting_them(
    crowd: list[User], summarize: Feature, narrow: Narrow
) -> None:
    assert access.audience("summarize") == 0
    counts = [
        access.audience("summarize", stage=Stage.PERCENT, percent=percent)
        for percent in (0, 10, 50, 100)
    ]
    assert counts == sorted(set(counts))
    everyone = access.audience("summarize", stage=Stage.EVERYONE)
    total = access.total()
    evaluations.account()  # a machine, and no user
    assert access.audience("summarize", stage=Stage.EVERYONE) == everyone
    assert access.total() == total
    assert counts[-1] == everyone
    assert access.audience("summarize", stage=Stage.EVERYONE, holdout_percent=50) < everyone
    narrow(enabled=False)
    assert access.audience("summarize", stage=Stage.EVERYONE) == 0
    assert access.audience("judge", stage=Stage.EVERYONE) == 0, "internal"
    assert access.audience("nothing", stage=Stage.EVERYONE) == 0


def test_places_are_the_same_in_sql_and_python(db: None) -> None:
    for user in (0, 1, 7, 1000, 2**31, 2**62):
        for seed in ("summarize", "ünïcode"):
            assert rows("aif_place", seed, "", user) == [(place(seed, user),)]
            assert rows("aif_place", seed, "holdout", user) == [(place_for(seed, "holdout", user),)]
