"""The users who may use a feature at each stage."""

from __future__ import annotations

import pytest

from aifeature.models.control import Stage
from aifeature.policies import release
from aifeature.policies.access import Visitor, may_use
from aifeature.policies.percent import place

STAFF = Visitor(1, is_staff=True, is_invited=False)
INVITED = Visitor(2, is_staff=False, is_invited=True)
ANYBODY = Visitor(3, is_staff=False, is_invited=False)


@pytest.mark.parametrize(
    ("stage", "staff", "invited", "anybody"),
    [
        (Stage.OFF, False, False, False),
        (Stage.STAFF, True, False, False),
        (Stage.BETA, True, True, False),
        (Stage.PERCENT, True, True, False),
        (Stage.EVERYONE, True, True, True),
    ],
)
def test_each_stage_lets_more_people_in(
    stage: Stage, staff: bool, invited: bool, anybody: bool
) -> None:
    seen = [may_use("f", stage=stage, percent=0, visitor=v) for v in (STAFF, INVITED, ANYBODY)]
    assert seen == [staff, invited, anybody]


def test_a_percentage_is_sticky_grows_and_is_about_right() -> None:
    def share(percent: int) -> set[int]:
        return {
            user
            for user in range(10_000)
            if may_use(
                "f", stage=Stage.PERCENT, percent=percent, visitor=Visitor(user, False, False)
            )
        }

    ten, twenty = share(10), share(20)
    assert ten == share(10)
    assert ten < twenty
    assert len(ten) == pytest.approx(1000, rel=0.15)
    assert share(0) == set()
    assert len(share(100)) == 10_000


def test_another_feature_picks_other_users() -> None:
    one = {user for user in range(1000) if place("one", user) < 50}
    two = {user for user in range(1000) if place("two", user) < 50}
    assert 150 < len(one & two) < 350


def test_a_new_release_reshuffles_no_user() -> None:
    """Figures of the first release."""
    assert [place("summarize", 1), place("triage", 7)] == [9, 35]
    assert [release.place("summarize", 1), release.place("triage", 7)] == [23, 46]
