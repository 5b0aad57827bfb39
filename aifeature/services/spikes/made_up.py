"""Made-up spend for the simulation: a week's rhythm, growth, launches, heavy-tailed users."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, NamedTuple

from aifeature.services.spikes.baseline import Announced

FIRST: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday."""

MINUTES: Final = 24 * 60
"""Of a day."""

FEATURES: Final = {"large": 0.6, "medium": 0.3, "small": 0.1}
"""Share of the users of each. The smaller a feature, the more one user weighs."""

USERS: Final = 600
USER_MICRO: Final = 60_000
"""Micro-dollars that an ordinary user spends on a day of use."""
USER_SPREAD: Final = 1.1
"""Sigma of the lognormal over users: one in a hundred spends thirteen times as much."""
USER_CAP_MICRO: Final = 3_000_000
"""What one user may be charged in a day: three times the cap that a feature has by default."""
DAY_SPREAD: Final = 0.5
"""Sigma of the lognormal over the days of a user: one in twelve is above twice their usual."""
WEEK: Final = (0.62, 0.65, 0.65, 0.62, 0.55, 0.18, 0.15)
"""Share of users who come, from Monday on."""
GROWTH: Final = 0.012
"""Users who join each day, as a share of those at first: in sixty days 72 % more."""
SITTINGS: Final = 3
"""At most so many sittings make a user's day, of up to an hour and a half each."""
TIMES: Final = ((13, 3), (13, 3), (13, 3), (19.5, 1.5))
"""Mean hour (UTC) and sigma of when a sitting begins: three of four by day, one in the evening."""
LAUNCHES: Final = 3
"""Announced in sixty days: 39 hours from nine o'clock on, with twice to three times the spend."""
LAUNCH_FACTOR: Final = 3.0
"""As announced."""


class Call(NamedTuple):
    """Spend of one user in one minute of a day."""

    minute: int
    key: str
    micro: int


@dataclass(frozen=True, slots=True)
class World:
    """The calls of each day in their order, and what was announced."""

    days: list[list[Call]]
    launches: list[tuple[str, Announced]]


def world(random: Random, days: int) -> World:
    """So many days of spend."""
    launches = [_launch(random, days) for _ in range(round(LAUNCHES * days / 60))]
    calls: list[list[Call]] = [[] for _ in range(days)]
    for number in range(round(USERS * (1 + GROWTH * days))):
        slug = random.choices(list(FEATURES), list(FEATURES.values()))[0]
        usual = random.lognormvariate(math.log(USER_MICRO), USER_SPREAD)
        joined = max(0, round((number - USERS) / (USERS * GROWTH)))
        for day in range(joined, days):
            busy = math.sqrt(_busy(random, launches, slug, day))  # more users, and more of each
            if random.random() < min(0.95, WEEK[day % 7] * busy):
                calls[day] += _sittings(random, f"{slug}:{number}", usual * busy)
    for one in calls:
        one.sort()
    return World(calls, launches)


def _launch(random: Random, days: int) -> tuple[str, Announced]:
    begins = FIRST + timedelta(days=random.randrange(8, max(9, days - 10)), hours=9)
    slug = random.choice(list(FEATURES))
    return slug, Announced(begins, begins + timedelta(hours=39), LAUNCH_FACTOR)


def _busy(random: Random, launches: list[tuple[str, Announced]], slug: str, day: int) -> float:
    """What a launch really brings is not what was announced."""
    noon = FIRST + timedelta(days=day, hours=12)
    launched = any(
        of == slug and launch.starts_at <= noon < launch.ends_at for of, launch in launches
    )
    return random.uniform(2, LAUNCH_FACTOR) if launched else 1


def _sittings(random: Random, key: str, usual: float) -> list[Call]:
    """A day's spend of one user: around noon or in the evening, one call every six minutes."""
    micro = min(USER_CAP_MICRO, usual * random.lognormvariate(0, DAY_SPREAD))
    count = random.randint(1, SITTINGS)
    calls = []
    for _ in range(count):
        hour = random.gauss(*random.choice(TIMES))
        begins = round(min(22, max(0, hour)) * 60)
        minutes = range(begins, begins + random.randint(3, 90), 6)
        calls += [Call(minute, key, int(micro / count / len(minutes))) for minute in minutes]
    return calls
