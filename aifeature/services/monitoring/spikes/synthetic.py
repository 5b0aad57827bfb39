"""Made-up spend for the simulation: a week's rhythm, growth, launches, users of every kind.

A few users spend most. Each has hours of their own, days off and holidays; some do much on one day
of each week; now and then somebody has a day of several times their usual.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, NamedTuple

from aifeature.services.monitoring.spikes.baseline import Announced

FIRST: Final = datetime(2026, 1, 5, tzinfo=UTC)
"""A Monday."""

BIN: Final = 5
"""Minutes that are told apart."""
BINS: Final = 24 * 60 // BIN
"""Of a day."""

FEATURES: Final = {"large": 0.6, "medium": 0.3, "small": 0.1}
"""Share of the users of each. The smaller a feature, the more one user weighs."""

USERS: Final = 600
USER_MICRO: Final = 60_000
"""Micro-dollars that an ordinary user spends on a day of use."""
USER_SPREAD: Final = 1.1
"""Sigma of the lognormal over users: one in a hundred spends thirteen times as much."""
USER_CAP_MICRO: Final = 10_000_000
"""What one user may spend in a day."""
DAY_SPREAD: Final = 0.5
"""Sigma of the lognormal over the days of a user: one in twelve is above twice their usual."""
BURST: Final = 0.03
"""Share of a user's days that are two to six times as large for a reason of their own."""
WEEKLY: Final = 0.1
"""Share of users who do three times as much on one weekday."""
AWAY: Final = 0.01
"""Chance of a day to begin three to fourteen days without use."""
WEEK: Final = (0.62, 0.65, 0.65, 0.62, 0.55, 0.18, 0.15)
"""Share of users who come, from Monday on."""
GROWTH: Final = 0.004
"""Users who join each day, as a share of those at first: in a hundred days 40 % more."""
SITTINGS: Final = 3
"""At most so many sittings make a user's day, of up to an hour and a half each."""
DAYTIME: Final = (13, 3)
"""Mean hour (UTC) and sigma, over users, of when three of four begin a sitting..."""
EVENING: Final = (19.5, 1.5)
"""...and the others."""
IRREGULAR: Final = 2.5
"""Sigma in hours of when one user begins."""
LAUNCHES: Final = 3
"""Announced in sixty days: each for two days, with twice to three times the spend."""
LAUNCH_FACTOR: Final = 3.0
"""As announced."""


class Sitting(NamedTuple):
    """Spend of one user, even over some stretches of BIN minutes."""

    key: str
    begin: int
    bins: int
    micro: int
    """In each of them."""

    def until(self, bins: int) -> int:
        """What of it is spent when so many bins of the day are over."""
        return self.micro * min(self.bins, max(0, bins - self.begin))


@dataclass(frozen=True, slots=True)
class World:
    """What is spent on each day, and what was announced."""

    days: list[list[Sitting]]
    launches: list[tuple[str, Announced]]
    users: dict[str, dict[int, list[Sitting]]] = field(default_factory=dict)
    """The same by user and day."""


def world(random: Random, days: int) -> World:
    """So many days of spend."""
    made = World([[] for _ in range(days)], _launches(random, days))
    launched = {slug: launched_days(made, slug) for slug in FEATURES}
    for number in range(round(USERS * (1 + GROWTH * days))):
        slug = random.choices(list(FEATURES), list(FEATURES.values()))[0]
        key = f"{slug}:{number}"
        made.users[key] = _days_of(random, key, days, launched[slug])
        for day, sittings in made.users[key].items():
            made.days[day] += sittings
    return made


def launched_days(made: World, slug: str) -> set[int]:
    """The days for which a launch of this feature was announced."""
    return {
        day
        for day in range(len(made.days))
        for of, it in made.launches
        if of == slug and it.starts_at <= FIRST + timedelta(days=day) < it.ends_at
    }


def _joined(number: int) -> int:
    return max(0, round((number - USERS) / (USERS * GROWTH)))


def _launches(random: Random, days: int) -> list[tuple[str, Announced]]:
    found = []
    for _ in range(round(LAUNCHES * days / 60)):
        begins = FIRST + timedelta(days=random.randrange(8, max(9, days - 10)))
        ends = begins + timedelta(days=2)
        found.append((random.choice(list(FEATURES)), Announced(begins, ends, LAUNCH_FACTOR)))
    return found


def _days_of(
    random: Random, key: str, days: int, launched: Collection[int]
) -> dict[int, list[Sitting]]:
    usual = random.lognormvariate(math.log(USER_MICRO), USER_SPREAD)
    hour = random.gauss(*(DAYTIME if random.random() < 0.75 else EVENING))  # noqa: PLR2004
    much_on = random.randrange(5) if random.random() < WEEKLY else None
    found = {}
    joined = back = _joined(int(key.partition(":")[2]))
    for day in range(joined, days):
        if day < back:
            continue
        if random.random() < AWAY:
            back = day + random.randint(3, 14)
        # What a launch really brings is not what was announced: more users, and more of each.
        busy = math.sqrt(random.uniform(2, LAUNCH_FACTOR)) if day in launched else 1
        if random.random() >= min(0.95, WEEK[day % 7] * busy):
            continue
        micro = usual * busy * random.lognormvariate(0, DAY_SPREAD)
        if random.random() < BURST:
            micro *= random.uniform(2, 6)
        if much_on == day % 7:
            micro *= 3
        found[day] = _sittings(random, key, min(USER_CAP_MICRO, micro), hour)
    return found


def _sittings(random: Random, key: str, micro: float, hour: float) -> list[Sitting]:
    """A day's spend of one user."""
    count = random.randint(1, SITTINGS)
    found = []
    for _ in range(count):
        begin = round(min(22.0, max(0.0, random.gauss(hour, IRREGULAR))) * 60) // BIN
        bins = random.randint(1, 90 // BIN)
        found.append(Sitting(key, begin, bins, int(micro / count / bins)))
    return found
