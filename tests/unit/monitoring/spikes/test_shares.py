"""The top spenders and their shares in the period of a spike."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aifeature.policies.spike import Kind
from aifeature.services.controls.effective import GLOBAL
from aifeature.services.monitoring.spikes.judge import Days, Known
from aifeature.services.monitoring.spikes.shares import sentence, top

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


def spent(morning: int, latest_hour: int = 0) -> Days:
    curve = [0] * 24
    curve[6], curve[11] = morning, latest_hour
    return {NOON.date(): curve}


KNOWN = Known(
    days={"draft": spent(100, 50), "proof": spent(60), GLOBAL: spent(160, 50)},
    users={
        "draft:1": spent(60),
        "draft:2": spent(10, 40),
        "proof:1": spent(20),
        "draft:3": spent(20, 10),
        "draft:4": spent(0),
    },
    half_hours={"draft": 10, "draft:3": 8, "draft:1": 0, "draft:2": 2, "draft:4": 0},
)


@pytest.mark.parametrize(
    ("what", "slug", "kind", "found"),
    [
        ("today", "draft", Kind.SPIKE, [(1, 60, 0.4), (2, 50, 1 / 3), (3, 30, 0.2)]),
        ("the latest hour", "draft", Kind.BURN, [(2, 40, 0.8), (3, 10, 0.2)]),
        ("the latest half hour", "draft", Kind.SURGE, [(3, 8, 0.8), (2, 2, 0.2)]),
        ("another feature", "proof", Kind.SPIKE, [(1, 20, 1 / 3)]),
        (
            "all features of each user",
            GLOBAL,
            Kind.SPIKE,
            [(1, 80, 80 / 210), (2, 50, 50 / 210), (3, 30, 30 / 210)],
        ),
    ],
)
def test_top_spenders_and_their_shares(
    what: str, slug: str, kind: Kind, found: list[tuple[int, int, float]]
) -> None:
    most = top(KNOWN, slug, kind, NOON)
    assert [(each.user, each.micro, each.share) for each in most] == found, what


def test_ten_are_listed_and_three_are_named() -> None:
    users = {f"draft:{user}": spent(user) for user in range(1, 13)}
    most = top(Known(days={"draft": spent(78)}, users=users), "draft", Kind.SPIKE, NOON)
    assert [each.user for each in most] == [12, 11, 10, 9, 8, 7, 6, 5, 4, 3]
    assert sentence(most) == "Top spenders: user 12 (15 %), user 11 (14 %), user 10 (13 %)."


def test_no_user_has_more_than_the_whole() -> None:
    """Sums of different moments may differ a little."""
    known = Known(days={"draft": spent(10)}, users={"draft:1": spent(11)})
    (only,) = top(known, "draft", Kind.SPIKE, NOON)
    assert only.share == 1


def test_spend_without_users_is_named() -> None:
    assert sentence(top(Known(days={"draft": spent(9)}), "draft", Kind.SPIKE, NOON)) == (
        "None of it is from users' calls."
    )
