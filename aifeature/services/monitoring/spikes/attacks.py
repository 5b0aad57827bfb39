"""Simulated attacks, to measure how fast the check acts."""

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
"""Times that a bug makes each call."""
VIRAL: Final = (8, 25)
"""Range of the traffic factor. All additional users are new."""
RAMP: Final = (10, 45)
"""Range of the minutes until that traffic is reached."""
SLOW: Final = (6, 180)
"""Factor and minutes of a slow viral day."""
PATIENCE: Final = 6 * 60
"""Minutes after which an attack counts as missed."""

Attack = Callable[[Random, World, int, int], tuple[str, list[Sitting]]]
"""Takes a day and the bin in which the attack begins. Returns the attacked key and the sittings."""


def stolen_account(random: Random, world: World, day: int, begin: int) -> tuple[str, list[Sitting]]:
    """Abuse an account of the large feature that was used on at least three days of the week."""
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
    """Repeat every call of one feature, as a faulty release would."""
    slug = _feature(random, world, day)
    calls = world.days[day]
    more = [_from(each, begin, LOOP - 1) for each in calls if feature_of(each.key) == slug]
    return slug, [*calls, *(each for each in more if each.bins)]


def viral_day(random: Random, world: World, day: int, begin: int) -> tuple[str, list[Sitting]]:
    """Add many new users to one feature."""
    times = math.exp(random.uniform(*map(math.log, VIRAL)))
    return _viral(random, world, day, begin, round(times), random.uniform(*RAMP))


def slow_viral_day(random: Random, world: World, day: int, begin: int) -> tuple[str, list[Sitting]]:
    """Add many new users slowly. The rate is twice the usual only after 36 minutes."""
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
    """Choose a feature without a launch, since a launch raises the baseline."""
    return random.choice([slug for slug in FEATURES if day not in launched_days(world, slug)])


def _from(each: Sitting, begin: int, times: int) -> Sitting:
    """Return the part of a sitting after a bin, with `times` the spend."""
    at = max(begin, each.begin)
    return Sitting(each.key, at, max(0, each.begin + each.bins - at), each.micro * times)


ATTACKS: Final[dict[str, Attack]] = {
    "stolen account": stolen_account,
    "retry loop": retry_loop,
    "viral day": viral_day,
    "slow viral day": slow_viral_day,
}
