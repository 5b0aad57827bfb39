"""How often the rules err, and how fast they act, in worlds that are made up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from random import Random
from statistics import fmean
from typing import Final

from aifeature.services.control import EVERYTHING
from aifeature.services.spikes.attacks import ATTACKS
from aifeature.services.spikes.books import Books
from aifeature.services.spikes.judge import Rules, feature_of
from aifeature.services.spikes.made_up import FIRST, Call, World, world
from aifeature.services.spikes.replay import Event, Replay

LOOK: Final = 30
"""Minutes between two looks for false alarms: what is one stays one for longer than that."""
CAP: Final = 4
"""The cap of a feature and of everything, in usual days."""
PATIENCE: Final = 12 * 60
"""Minutes after which an attack is given up."""
LEARNT: Final = 14
"""Days before the attacks."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One attack."""

    attack: str
    minutes: int | None
    """Until the check acted; None: it did not."""
    lost_micro: int
    """Spent until then by what was attacked, its usual spend included."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one made-up world."""

    days: int
    """Days that were judged."""
    alarms: list[Event]
    """False ones, since nothing was wrong."""
    attacks: list[Timed]


def simulate(seed: int, *, days: int, rules: Rules) -> Outcome:
    """Make a world, look for false alarms in it, and then attack it in each way.

    Args:
        seed: The same gives the same world.
        days: How long it lasts, at least a month.
        rules: The rules to try.
    """
    random = Random(seed)  # noqa: S311 (no secret)
    made = world(random, days)
    caps = _caps(made)
    attacks = [_time(random, name, made, caps, rules) for name in ATTACKS]
    return Outcome(days, _alarms(made, caps, rules), attacks)


def _alarms(made: World, caps: Mapping[str, int], rules: Rules) -> list[Event]:
    books, replay = Books(made, caps), Replay(rules)
    found: list[Event] = []
    for number, calls in enumerate(made.days):
        day = FIRST + timedelta(days=number)
        books.begin(day)
        for step, some in groupby(calls, key=lambda call: call.minute // LOOK):
            for call in some:
                books.add(day.date(), call)
            minute = (step + 1) * LOOK - 1
            known = books.known(minute, rules.user.min_spend_micro)
            found += replay.step(day + timedelta(minutes=minute), known)
    return found


def _time(random: Random, name: str, made: World, caps: Mapping[str, int], rules: Rules) -> Timed:
    """A working day and a time of it by chance, looked at each minute."""
    number = random.randrange(LEARNT, len(made.days))
    while number % 7 > 4:  # noqa: PLR2004 (Friday)
        number -= 1
    begins = random.randrange(8 * 60, 16 * 60)
    attacked, calls = ATTACKS[name](random, made, number, begins)
    books, replay = Books(made, caps), Replay(rules)
    for past in range(number - 7, number):
        day = FIRST + timedelta(days=past)
        books.begin(day)
        for call in made.days[past]:
            books.add(day.date(), call)
    day = FIRST + timedelta(days=number)
    books.begin(day)
    lost = 0
    by_minute: defaultdict[int, list[Call]] = defaultdict(list)
    for call in calls:
        by_minute[call.minute].append(call)
    for minute in range(begins + min(PATIENCE, 24 * 60 - begins)):
        for call in by_minute[minute]:
            books.add(day.date(), call)
            if minute >= begins and attacked in {call.key, feature_of(call.key)}:
                lost += call.micro
        if minute >= begins:
            known = books.known(minute, rules.user.min_spend_micro)
            seen = {event.key for event in replay.step(day + timedelta(minutes=minute), known)}
            if seen & {attacked, feature_of(attacked), EVERYTHING}:
                return Timed(name, minute - begins + 1, lost)
    return Timed(name, None, lost)


def _caps(made: World) -> dict[str, int]:
    """By the working days of the last fortnight."""
    spent: defaultdict[str, list[int]] = defaultdict(list)
    for number in range(len(made.days) - 14, len(made.days)):
        if number % 7 <= 4:  # noqa: PLR2004 (Friday)
            sums: defaultdict[str, int] = defaultdict(int)
            for call in made.days[number]:
                sums[feature_of(call.key)] += call.micro
                sums[EVERYTHING] += call.micro
            for slug, micro in sums.items():
                spent[slug].append(micro)
    return {slug: round(CAP * fmean(each)) for slug, each in spent.items()}


__all__ = ["Outcome", "Timed", "simulate"]
