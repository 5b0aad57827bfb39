"""Synthetic spend for the simulation: a weekly pattern, growth, launches and diverse users.

A few users cause most spend. Each user has typical hours, days off and holidays. Some spend more
on one weekday, and any user may have a day of several times their usual.
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
"""Minutes; the resolution of the simulation."""
BINS: Final = 24 * 60 // BIN
"""Bins of a day."""

FEATURES: Final = {"large": 0.6, "medium": 0.3, "small": 0.1}
"""Share of users by feature. The smaller a feature, the more one user weighs."""

USERS: Final = 600
USER_MICRO: Final = 60_000
"""Micro-dollars that an ordinary user spends on an active day."""
USER_SPREAD: Final = 1.1
"""Sigma of the lognormal over users: one in a hundred spends thirteen times as much."""
USER_CAP_MICRO: Final = 10_000_000
"""Daily cap of a user, in micro-dollars."""
DAY_SPREAD: Final = 0.5
"""Sigma of the lognormal over a user's days: one in twelve is above twice their usual."""
BURST: Final = 0.03
"""Share of a user's days with two to six times the spend."""
WEEKLY: Final = 0.1
"""Share of users who spend three times as much on one weekday."""
AWAY: Final = 0.01
"""Daily probability that three to fourteen days without use begin."""
WEEK: Final = (0.62, 0.65, 0.65, 0.62, 0.55, 0.18, 0.15)
"""Share of active users by weekday, from Monday."""
GROWTH: Final = 0.004
"""New users a day as a share of the initial users: 40 % more in a hundred days."""
SITTINGS: Final = 3
"""Most sittings of a user in a day. One lasts up to 90 minutes."""
DAYTIME: Final = (13, 3)
"""Mean and sigma of a user's typical hour (UTC), for three of four users."""
EVENING: Final = (19.5, 1.5)
"""The same for the other users."""
IRREGULAR: Final = 2.5
"""Sigma in hours of a sitting's start around the user's typical hour."""
LAUNCHES: Final = 3
"""Launches in sixty days. Each lasts two days with two to three times the spend."""
LAUNCH_FACTOR: Final = 3.0
"""The announced factor."""


class Sitting(NamedTuple):
    """A user's spend, even over consecutive bins."""

    key: str
    begin: int
    bins: int
    micro: int
    """Micro-dollars in each bin."""

    def until(self, bins: int) -> int:
        """Return the spend in the first `bins` bins of the day."""
        return self.micro * min(self.bins, max(0, bins - self.begin))


@dataclass(frozen=True, slots=True)
class World:
    """Synthetic spend and launches."""

    days: list[list[Sitting]]
    launches: list[tuple[str, Announced]]
    users: dict[str, dict[int, list[Sitting]]] = field(default_factory=dict)
    """The sittings of `days` by user and day."""


def world(random: Random, days: int) -> World:
    """Create a world with this number of days."""
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
    """Return the days with a launch of this feature."""
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
        # The real effect differs from the announced factor: more users, and more spend of each.
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
    """Return the sittings of a user's day."""
    count = random.randint(1, SITTINGS)
    found = []
    for _ in range(count):
        begin = round(min(22.0, max(0.0, random.gauss(hour, IRREGULAR))) * 60) // BIN
        bins = random.randint(1, 90 // BIN)
        found.append(Sitting(key, begin, bins, int(micro / count / bins)))
    return found
