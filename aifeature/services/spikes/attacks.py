"""Three ways in which spend runs away, for the simulation to be timed by."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from aifeature.services.spikes.judge import feature_of
from aifeature.services.spikes.made_up import FEATURES, MINUTES, Call, World

STOLEN_MICRO: Final = 50_000
"""Micro-dollars a minute: ten calls of half a cent."""
LOOP: Final = 10
"""How often a bug makes each call."""
VIRAL: Final = 6
"""Times the usual traffic, all of it new users, reached within RAMP minutes."""
RAMP: Final = 180

Attack = Callable[[Random, World, int, int], tuple[str, list[Call]]]
"""From the number of a day and a minute of it: who is attacked, and the day's calls with it."""


def stolen_account(random: Random, world: World, day: int, begins: int) -> tuple[str, list[Call]]:
    """Somebody uses an account of the large feature that was in use on three days of the week."""
    seen: dict[str, int] = {}
    for past in world.days[day - 7 : day]:
        for key in {call.key for call in past if call.key.startswith("large:")}:
            seen[key] = seen.get(key, 0) + 1
    victim = random.choice(sorted(key for key, days in seen.items() if days >= 3))  # noqa: PLR2004
    stolen = [Call(minute, victim, STOLEN_MICRO) for minute in range(begins, MINUTES)]
    return victim, sorted([*world.days[day], *stolen])


def retry_loop(random: Random, world: World, day: int, begins: int) -> tuple[str, list[Call]]:
    """A release makes every call of one feature ten times."""
    slug = random.choice(list(FEATURES))
    return slug, [
        call._replace(micro=call.micro * LOOP)
        if call.minute >= begins and feature_of(call.key) == slug
        else call
        for call in world.days[day]
    ]


def viral_day(random: Random, world: World, day: int, begins: int) -> tuple[str, list[Call]]:
    """A feature is talked about: more and more people come who were never there."""
    slug = random.choice(list(FEATURES))
    new = [
        call._replace(key=f"{call.key}-{number}")
        for call in world.days[day]
        if call.minute >= begins and feature_of(call.key) == slug
        for number in range(VIRAL - 1)
        if random.random() < min(1, (call.minute - begins) / RAMP)
    ]
    return slug, sorted([*world.days[day], *new])


ATTACKS: Final[dict[str, Attack]] = {
    "stolen account": stolen_account,
    "retry loop": retry_loop,
    "viral day": viral_day,
}
