"""Ways in which spend runs away, for the simulation to be timed by."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Final

from aifeature.services.monitoring.spikes.judge import feature_of
from aifeature.services.monitoring.spikes.synthetic import (
    BIN,
    BINS,
    FEATURES,
    Sitting,
    World,
    launched_days,
)

STOLEN_MICRO: Final = 50_000
"""Micro-dollars a minute: ten calls of half a cent."""
LOOP: Final = 10
"""How often a bug makes each call."""
VIRAL: Final = (8, 25)
"""Times the usual traffic, all the rest of it new users..."""
RAMP: Final = (10, 45)
"""...reached after so many minutes."""
SLOW: Final = (6, 180)
"""The same, when word gets round slowly."""
PATIENCE: Final = 6 * 60
"""Minutes after which an attack is given up: nothing has seen it."""

Attack = Callable[[Random, World, int, int], tuple[str, list[Sitting]]]
"""From the number of a day and a bin of it: who is attacked, and the day with it."""


def stolen_account(random: Random, world: World, day: int, begin: int) -> tuple[str, list[Sitting]]:
    """Somebody uses an account of the large feature that was in use on three days of the week."""
    week = range(day - 7, day)
    victim = random.choice(
        [
            key
            for key, days in world.users.items()
            if key.startswith("large:") and sum(past in days for past in week) >= 3  # noqa: PLR2004
        ]
    )
    stolen = Sitting(victim, begin, BINS - begin, STOLEN_MICRO * BIN)
    return victim, [*world.days[day], stolen]


def retry_loop(random: Random, world: World, day: int, begin: int) -> tuple[str, list[Sitting]]:
    """A release makes every call of one feature ten times."""
    slug = _feature(random, world, day)
    calls = world.days[day]
    more = [_from(each, begin, LOOP - 1) for each in calls if feature_of(each.key) == slug]
    return slug, [*calls, *(each for each in more if each.bins)]


def viral_day(random: Random, world: World, day: int, begin: int) -> tuple[str, list[Sitting]]:
    """A feature is linked to from somewhere: many people come who were never there."""
    times = math.exp(random.uniform(*map(math.log, VIRAL)))
    return _viral(random, world, day, begin, round(times), random.uniform(*RAMP))


def slow_viral_day(random: Random, world: World, day: int, begin: int) -> tuple[str, list[Sitting]]:
    """Word gets round. Its rate is twice the usual only after 36 minutes."""
    return _viral(random, world, day, begin, *SLOW)


def _viral(
    random: Random, world: World, day: int, begin: int, times: int, ramp: float
) -> tuple[str, list[Sitting]]:
    slug = _feature(random, world, day)
    calls = world.days[day]
    new = [
        Sitting(f"{each.key}-{number}", at, 1, each.micro)
        for each in calls
        if feature_of(each.key) == slug
        for at in range(max(begin, each.begin), each.begin + each.bins)
        if at < begin + PATIENCE // BIN
        for number in range(times - 1)
        if random.random() < min(1, (at - begin + 0.5) * BIN / ramp)
    ]
    return slug, [*calls, *new]


def _feature(random: Random, world: World, day: int) -> str:
    """A feature of which no launch is announced: of one that is, much is expected."""
    return random.choice([slug for slug in FEATURES if day not in launched_days(world, slug)])


def _from(each: Sitting, begin: int, times: int) -> Sitting:
    """What of a sitting comes after that bin, so many times."""
    at = max(begin, each.begin)
    return Sitting(each.key, at, max(0, each.begin + each.bins - at), each.micro * times)


ATTACKS: Final[dict[str, Attack]] = {
    "stolen account": stolen_account,
    "retry loop": retry_loop,
    "viral day": viral_day,
    "slow viral day": slow_viral_day,
}
