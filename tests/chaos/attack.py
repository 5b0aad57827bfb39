"""The scenarios of a malicious user: large documents, and answers that are read but not paid."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Final

from tests.chaos.scenario import CancelAt, Scenario

LARGE_BYTES: Final = 200_000
"""Size of each document. It goes to an expensive model, with a bound of half a dollar."""

FROM: Final = 0.15
UNTIL: Final = 0.6
"""Beginning of the attack and time of its last document, as shares of the run's span."""

AT_ONCE: Final = 4
"""Documents that are sent together and cancelled one by one."""

HOLDS_S: Final = 4.0
"""Longest time until one of them is cancelled."""

IN_FLIGHT: Final = 4
"""Calls that this user may have in flight."""


@dataclass(frozen=True, slots=True)
class Way:
    cancel_at: CancelAt
    together: int = 1


WAYS: Final = (
    Way("last_word"),
    Way("at_once"),
    Way("last_word"),
    Way("end"),
    Way("last_word"),
    Way("later", together=AT_ONCE),
)
"""Used in turn, until the user's budget of the day is spent."""

ROUND: Final = sum(way.together for way in WAYS)
"""Documents of one turn through all ways."""


def attack(*, seed: int, rounds: int, span_s: float) -> list[Scenario]:
    """Return the scenarios of the malicious user, by time: a function of the seed."""
    dice = random.Random(seed + 2)
    ways = list(islice(cycle(WAYS), rounds * len(WAYS)))
    step_s = (UNTIL - FROM) * span_s / max(1, len(ways))
    made: list[Scenario] = []
    for n, way in enumerate(ways):
        at_s = FROM * span_s + n * step_s
        made += [_scenario(seed, len(made) + m, at_s, way, dice) for m in range(way.together)]
    return made


def _scenario(seed: int, number: int, at_s: float, way: Way, dice: random.Random) -> Scenario:
    delays: dict[CancelAt, float] = {"at_once": 0.0, "later": dice.uniform(0.5, HOLDS_S)}
    return Scenario(
        key=f"{seed}-attack-{number}",
        document=_large(dice),
        at_s=at_s,
        streams=True,
        long_polls=True,
        cancel_at=way.cancel_at,
        cancel_after_s=delays.get(way.cancel_at),
    )


_WORDS: Final = (
    *("invoice", "course", "refund", "teacher", "exam", "ticket"),
    *("answer", "deadline", "certificate", "plan", "lesson", "grade"),
)


def _large(dice: random.Random) -> str:
    """Return a new text each time: a cached prompt would be cheap."""
    text = [f"Report {dice.randrange(10**9)}."]
    size = 0
    while size < LARGE_BYTES:
        sentence = " ".join(dice.choices(_WORDS, k=9)).capitalize() + "."
        text.append(sentence)
        size += len(sentence) + 1
    return " ".join(text)
