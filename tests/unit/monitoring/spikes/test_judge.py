"""Users, features and the whole are judged together, and each excess is charged once."""

from __future__ import annotations

from datetime import UTC, datetime

from aifeature.policies.spike import Kind, Share
from aifeature.services.controls.effective import GLOBAL
from aifeature.services.monitoring.spikes.judge import (
    Days,
    Done,
    Known,
    Spenders,
    judge,
    judge_all,
    trailing,
)

DOLLAR = 1_000_000
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


def spent(today: float, *, hourly: float = 0) -> Days:
    """Return days with this spend in dollars: this morning, and in each hour of the week before."""
    morning = [0] * 24
    morning[6] = round(today * DOLLAR)
    past = {day: [round(hourly * DOLLAR)] * 24 for day in trailing(NOON)} if hourly else {}
    return {**past, NOON.date(): morning}


PLENTY = spent(0, hourly=1_000)
"""A whole with so large a baseline that it is never a spike."""


def test_a_user_above_their_own_usual_is_throttled_for_that_and_no_other_reason() -> None:
    days = {"draft": spent(30, hourly=1), GLOBAL: PLENTY}
    found = judge(Known(days, users={"draft:1": spent(18, hourly=0.05)}), NOON)
    assert (found["draft:1"].kind, found["draft:1"].share) == (Kind.SPIKE, None)
    assert found["draft"].kind is Kind.OK, "the feature goes on"


def test_a_user_whose_usual_day_falls_into_half_an_hour_is_left_alone() -> None:
    """The feature is left alone too, since no other user surges."""
    known = Known(
        {"draft": spent(15, hourly=1), GLOBAL: PLENTY},
        users={"draft:1": spent(3, hourly=0.5)},
        half_hours={"draft": 3 * DOLLAR, "draft:1": 3 * DOLLAR},
    )
    found = judge(known, NOON)
    assert (found["draft:1"].kind, found["draft"].kind) == (Kind.OK, Kind.OK)


def test_the_spend_of_a_throttled_user_is_taken_from_the_whole_once() -> None:
    """The whole spent 80, 28 of them by the user; the limit is 24."""
    days = {"draft": spent(30, hourly=1), GLOBAL: spent(80, hourly=1)}
    found = judge(Known(days, users={"draft:1": spent(28)}), NOON)
    assert found["draft:1"].kind is Kind.SHARE
    assert found[GLOBAL].kind is Kind.SPIKE


def test_a_user_who_is_throttled_for_a_feature_reads_their_share_of_its_excess() -> None:
    """The feature spent 30 where 12 are usual."""
    days = {"draft": spent(30, hourly=1), GLOBAL: PLENTY}
    found = judge(Known(days, users={"draft:1": spent(9), "draft:2": spent(3)}), NOON)
    assert found["draft:1"].share == Share("draft", 0.5)
    assert found["draft:2"].kind is Kind.OK, "one was enough"


def test_the_whole_burns_a_cap_of_its_own() -> None:
    days = {GLOBAL: {NOON.date(): [*[0] * 11, 20 * DOLLAR, *[0] * 12]}}
    assert judge(Known(days), NOON)[GLOBAL].kind is Kind.OK
    burning = judge(Known(days, caps={GLOBAL: 100 * DOLLAR}), NOON)
    assert burning[GLOBAL].kind is Kind.BURN


def test_a_user_of_another_feature_did_not_cause_it() -> None:
    days = {
        "draft": spent(30, hourly=1),
        "proof": spent(100, hourly=100),
        GLOBAL: PLENTY,
    }
    found = judge(Known(days, users={"proof:1": spent(100)}), NOON)
    assert found["draft"].kind is Kind.SPIKE
    assert found["proof:1"].kind is Kind.OK


def test_an_earlier_throttle_is_no_reason_to_read_the_top_spenders() -> None:
    """Else each look of the rest of the day would read them."""
    known = Known(
        {"draft": spent(15, hourly=1), GLOBAL: PLENTY},
        users={"draft:1": spent(5, hourly=0.05)},
        done={"draft:1": Done(today=5 * DOLLAR)},
    )

    def read() -> Spenders:
        raise AssertionError("the top spenders were read")

    _, found = judge_all(known, read, NOON)
    assert found["draft:1"].kind is Kind.SPIKE
