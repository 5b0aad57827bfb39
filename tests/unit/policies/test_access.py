"""The users who may use a feature: the rules in their order, and the places of users."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import pytest

from aifeature.models.control import Stage
from aifeature.policies import release
from aifeature.policies.access import Gate, Rule, Visitor, decide
from aifeature.policies.percent import HOLDOUT, canary, place, place_for

USERS = range(10_000)
OPEN = Gate("summarize", Stage.EVERYONE)
BETA = Gate("summarize", Stage.BETA)
HALF = Gate("summarize", Stage.PERCENT, percent=50)
ALL_RULES = {"is_staff": True, "is_invited": True, "is_member": True}

USER = 1
"""At place 9 of the stage of `summarize`, and at 85 of its hold-out."""

OUTSIDER = 7
"""At 98 of the stage, and at 14 of the hold-out."""


@pytest.mark.parametrize(
    ("gate", "visitor", "visible", "rule"),
    [
        # Above staff: these hold for staff and invited users too.
        (replace(OPEN, is_internal=True), ALL_RULES, False, Rule.INTERNAL),
        (OPEN, {"is_blocked": True, **ALL_RULES}, False, Rule.BLOCKED),
        (replace(OPEN, is_enabled=False), ALL_RULES, False, Rule.DISABLED),
        (replace(OPEN, stage=Stage.OFF), ALL_RULES, False, Rule.OFF),
        # Staff, and what is for staff alone.
        (replace(BETA, stage=Stage.STAFF), {"is_staff": True}, True, Rule.STAFF),
        (
            replace(OPEN, is_staff_only=True, holdout_percent=50),
            {"is_staff": True, "id": OUTSIDER},
            True,
            Rule.STAFF,
        ),
        (replace(OPEN, is_staff_only=True), {"is_invited": True}, False, Rule.STAFF_ONLY),
        (replace(OPEN, stage=Stage.STAFF), {"is_invited": True}, False, Rule.AT_STAFF),
        (replace(OPEN, stage=Stage.STAFF), {"is_member": True}, False, Rule.AT_STAFF),
        # An invitation is above the hold-out, and the hold-out above all others.
        (
            replace(BETA, holdout_percent=50),
            {"id": OUTSIDER, "is_invited": True},
            True,
            Rule.INVITED,
        ),
        (
            replace(BETA, holdout_percent=15),
            {"id": OUTSIDER, "is_member": True},
            False,
            Rule.HELD_OUT,
        ),
        (replace(OPEN, holdout_percent=15), {"id": OUTSIDER}, False, Rule.HELD_OUT),
        (replace(OPEN, holdout_percent=14), {"id": OUTSIDER}, True, Rule.EVERYONE),
        # The stages.
        (BETA, {}, False, Rule.NOT_INVITED),
        (BETA, {"is_member": True}, True, Rule.MEMBER),
        (HALF, {"id": OUTSIDER, "is_member": True}, True, Rule.MEMBER),
        (HALF, {"id": OUTSIDER, "is_invited": True}, True, Rule.INVITED),
        (HALF, {"id": OUTSIDER}, False, Rule.OUTSIDE_PERCENT),
        (replace(HALF, percent=9), {}, False, Rule.OUTSIDE_PERCENT),
        (replace(HALF, percent=10), {}, True, Rule.IN_PERCENT),
        (OPEN, {}, True, Rule.EVERYONE),
    ],
)
def test_the_first_rule_that_fits_decides(
    gate: Gate, visitor: dict[str, Any], visible: bool, rule: Rule
) -> None:
    found = decide(gate, Visitor(**{"id": USER, **visitor}))
    assert (found.visible, found.rule) == (visible, rule)


def test_a_decision_by_a_share_has_place_and_share() -> None:
    outside = decide(HALF, Visitor(OUTSIDER))
    assert (outside.bucket, outside.threshold) == (98, 50)
    held = decide(replace(OPEN, holdout_percent=15), Visitor(OUTSIDER))
    assert (held.bucket, held.threshold) == (14, 15)


def test_no_release_ever_moves_a_user() -> None:
    """Figures of earlier releases. Another figure here moves users: change the code instead."""
    users = (1, 7, 1000, 2**40)
    golden = {
        ("summarize", "stage"): [9, 98, 95, 70],
        ("summarize", HOLDOUT): [85, 14, 98, 37],
        ("summarize", "canary-1"): [45, 40, 98, 4],
        ("summarize", "release"): [23, 15, 97, 92],
        ("triage", "stage"): [77, 35, 33, 72],
        ("triage", HOLDOUT): [65, 48, 48, 4],
        ("triage", "canary-23"): [25, 51, 12, 27],
        ("triage", "release"): [56, 46, 98, 1],
    }
    found = {
        (seed, purpose): [of(seed, purpose, user) for user in users] for seed, purpose in golden
    }
    assert found == golden
    assert canary(23) == "canary-23", "the purpose of an open canary's arms"


def of(seed: str, purpose: str, user: int) -> int:
    if purpose == "release":  # it has a formula of its own, from before the purposes
        return release.place(seed, user)
    return place(seed, user) if purpose == "stage" else place_for(seed, purpose, user)


def seen(gate: Gate) -> set[int]:
    return {user for user in USERS if decide(gate, Visitor(user)).visible}


def test_raising_the_share_only_adds_users_and_lowering_only_removes() -> None:
    steps = [seen(replace(HALF, percent=percent)) for percent in (0, 5, 10, 25, 50, 99, 100)]
    assert all(before < after for before, after in pairwise(steps))
    assert [len(steps[0]), len(steps[-1])] == [0, len(USERS)]
    assert len(steps[2]) == pytest.approx(1000, rel=0.1)
    held = [seen(replace(OPEN, holdout_percent=percent)) for percent in (0, 5, 20, 50)]
    assert all(before > after for before, after in pairwise(held))


def test_the_purposes_are_independent_of_one_another() -> None:
    """Of 10,000 users 400 share two places below 20, give or take four standard deviations."""
    below = {
        purpose: {user for user in USERS if of("summarize", purpose, user) < 20}
        for purpose in ("stage", HOLDOUT, canary(1), canary(2), "release")
    }
    below["other feature"] = {user for user in USERS if place("triage", user) < 20}
    for one, two in combinations(below.values(), 2):
        assert 322 <= len(one & two) <= 478
