"""Who caused an excess: few, or a crowd."""

from __future__ import annotations

import pytest

from aifeature.policies.spike import Excess, Kind, Verdict
from aifeature.services.spikes.few import who_caused


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
        ("nobody is beyond their usual", {"f:1": 0}, []),
        ("no user at all", {}, []),
    ],
)
def test_the_fewest_who_caused_it(what: str, beyond: dict[str, int], keys: list[str]) -> None:
    assert caused(beyond) == keys, what


def test_of_a_crowd_nobody_caused_it_though_it_would_do_without_them() -> None:
    """Just above its limit, any user less is enough."""
    assert caused({"f:1": 20, "f:2": 20}, spare=95) == []
    assert caused({"f:1": 50}, spare=95) == ["f:1"]
