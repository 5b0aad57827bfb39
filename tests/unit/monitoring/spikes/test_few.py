"""The users who caused an excess are found if they are few."""

from __future__ import annotations

import pytest

from aifeature.policies.spike import Excess, Kind, Spend, Verdict
from aifeature.services.monitoring.spikes.few import beyond_usual, is_unusual, who_caused


def verdict(kind: Kind, above: int) -> Verdict:
    return Verdict(kind, 200, 100, 200, 0, None, None, above=Excess(above, above, above))


def caused(beyond: dict[str, int], *, above: int = 100, spare: int = 40) -> list[str]:
    """The keys, where a spike is over once all but `spare` of the excess is taken away."""

    def without(excess: Excess) -> Verdict:
        return verdict(Kind.OK if above - excess.today <= spare else Kind.SPIKE, above)

    each = {key: Excess(micro, micro, micro) for key, micro in beyond.items()}
    return who_caused(verdict(Kind.SPIKE, above), each, without)[0]


@pytest.mark.parametrize(
    ("what", "beyond", "keys"),
    [
        ("one does", {"f:1": 60, "f:2": 30}, ["f:1"]),
        ("two are needed", {"f:1": 40, "f:2": 30, "f:3": 30}, ["f:1", "f:2"]),
        ("three are too few", {f"f:{n}": 15 for n in range(7)}, []),
        ("two features of one account are one", {"f:1": 30, "g:1": 30, "f:2": 1}, ["f:1", "g:1"]),
        ("a feature in which they did nothing unusual", {"f:1": 60, "g:1": 0}, ["f:1"]),
        ("nobody is beyond their usual", {"f:1": 0}, []),
        ("no user at all", {}, []),
    ],
)
def test_the_fewest_who_caused_it(what: str, beyond: dict[str, int], keys: list[str]) -> None:
    assert caused(beyond) == keys, what


def test_no_user_of_a_crowd_caused_an_excess() -> None:
    """Just above its limit, any user less is enough."""
    assert caused({"f:1": 20, "f:2": 20}, spare=95) == []
    assert caused({"f:1": 50}, spare=95) == ["f:1"]


def test_beyond_a_users_usual_is_what_a_throttle_would_have_prevented() -> None:
    spent = Spend(today=500, latest_hour=300, past=(), hours_left=12, latest_half_hour=200)
    theirs = Verdict(Kind.OK, 500, 100, 200, 300, None, None, above=Excess(400, 300, 150))
    assert beyond_usual(spent, theirs, busiest_hour=60) == Excess(400, 240, 200)
    assert beyond_usual(spent, theirs, busiest_hour=301).hour == 0


@pytest.mark.parametrize(
    ("what", "kind", "baseline", "today", "unusual"),
    [
        ("a spike", Kind.SPIKE, 100, 1, True),
        ("a burn", Kind.BURN, 100, 1, True),
        ("a surge, and a usual day", Kind.SURGE, 100, 1_000, False),
        ("a surge, and no history", Kind.SURGE, None, 50, True),
        ("a surge, and next to nothing", Kind.SURGE, None, 49, False),
    ],
)
def test_a_user_with_a_usual_day_is_not_throttled_for_a_surge(
    what: str, kind: Kind, baseline: int | None, today: int, unusual: bool
) -> None:
    theirs = Verdict(Kind.OK, today, baseline, 200, 0, None, None)
    assert is_unusual(kind, theirs, least=50) is unusual, what
