"""Simulation of the rules in synthetic worlds: false alarms, and the time until they act."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from statistics import fmean, median
from typing import Final

from aifeature.services.controls import GLOBAL
from aifeature.services.monitoring.spikes.attacks import ATTACKS, PATIENCE
from aifeature.services.monitoring.spikes.books import Books, Day
from aifeature.services.monitoring.spikes.judge import Rules, feature_of
from aifeature.services.monitoring.spikes.replay import Event, Replay
from aifeature.services.monitoring.spikes.synthetic import BIN, BINS, FEATURES, FIRST, World, world

LOOK: Final = 60 // BIN
"""Bins between two judgements for false alarms: at full hours on one day, at half past on the next.
A spike lasts longer than an hour, and every second half hour is judged for surges."""
CAP: Final = 4
"""Cap of a feature and of GLOBAL, in usual days."""
EACH: Final = 8
"""Default number of attacks of each kind in a world."""
LEARNT: Final = 14
"""Days before the first judged day."""
MONTH: Final = 30
YEAR: Final = 365
WORKDAYS: Final = 5
"""Days of the week, from Monday, on which attacks begin."""
OFFICE: Final = (8, 16)
"""Hours between which attacks begin."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Result of one attack."""

    attack: str
    minutes: int | None
    """Minutes until the check acted; None if it did not."""
    lost_micro: int
    """Spend of the attacked user or feature until then, including the usual spend."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Results of one or several synthetic worlds."""

    days: int
    """Judged days."""
    active: int
    """Active users of each month, summed over the months."""
    throttled: int
    """Wrongly throttled users of each month, summed over the months."""
    alarms: list[Event]
    """False alarms."""
    attacks: list[Timed]

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.days + other.days,
            self.active + other.active,
            self.throttled + other.throttled,
            self.alarms + other.alarms,
            self.attacks + other.attacks,
        )

    @property
    def trips(self) -> list[Event]:
        """False alarms that pulled a switch."""
        return [event for event in self.alarms if not event.is_throttle]

    @property
    def throttled_share(self) -> float:
        """Share of a month's users who were wrongly throttled."""
        return self.throttled / self.active if self.active else 0.0

    @property
    def trips_a_year(self) -> float:
        """False trips a year, of all features and GLOBAL together."""
        return len(self.trips) * YEAR / self.days

    def of(self, attack: str) -> Times:
        """Return the detection times of one kind of attack."""
        runs = [run for run in self.attacks if run.attack == attack]
        minutes = sorted(run.minutes for run in runs if run.minutes is not None)
        rank = -(-len(runs) * 9 // 10) - 1
        return Times(
            median_min=median(minutes) if minutes else None,
            p90_min=minutes[rank] if rank < len(minutes) else None,
            missed=len(runs) - len(minutes),
            lost_micro=round(median(run.lost_micro for run in runs)),
        )


@dataclass(frozen=True, slots=True)
class Times:
    """Minutes from the beginning of an attack until the check acted."""

    median_min: float | None
    """Median over the detected attacks; None if all were missed."""
    p90_min: int | None
    """90th percentile over all attacks; None if more than a tenth were missed."""
    missed: int
    lost_micro: int
    """Median spend until the check acted."""


class Simulated:
    """A synthetic world to try rules in."""

    def __init__(self, seed: int, *, days: int) -> None:
        """Create a world with this number of judged days. The same seed gives the same world."""
        self._seed = seed
        self._made = world(Random(seed), LEARNT + days)  # noqa: S311 (no secret)
        self._books = Books(self._made, _caps(self._made))

    def run(
        self,
        rules: Rules,
        *,
        each: int = EACH,
        attacks: Collection[str] = tuple(ATTACKS),
        usual: bool = True,
    ) -> Outcome:
        """Count false alarms and time `each` attacks of every kind. The result is deterministic.

        Days without an attack are judged only if `usual` is true.
        """
        random = Random(self._seed)  # noqa: S311 (no secret)
        timed = [self._time(random, name, rules) for name in attacks for _ in range(each)]
        active = {
            (key, day // MONTH)
            for key, days in self._made.users.items()
            for day in days
            if day >= LEARNT
        }
        alarms = self._alarms(rules) if usual else []
        throttled = {(event.key, _month(event.at)) for event in alarms if event.is_throttle}
        days = len(self._made.days) - LEARNT
        return Outcome(days, len(active), len(throttled), alarms, timed)

    def _alarms(self, rules: Rules) -> list[Event]:
        replay = Replay(rules)
        events: list[Event] = []
        for number in range(LEARNT, len(self._made.days)):
            day = self._books.open(number, rules.user.min_spend_micro)
            for bins in (*range(LOOK // (1 + number % 2), BINS, LOOK), BINS - 1):
                if bins == BINS - 1 or _matters(day, bins, rules):
                    events += _step(day, replay, number, bins)
        return events

    def _time(self, random: Random, name: str, rules: Rules) -> Timed:
        """Attack at a random time of a random working day, and judge every BIN minutes."""
        number = random.randrange(LEARNT, len(self._made.days))
        while number % 7 >= WORKDAYS:
            number -= 1
        begin = random.randrange(OFFICE[0] * 60 // BIN, OFFICE[1] * 60 // BIN)
        attacked, sittings = ATTACKS[name](random, self._made, number, begin)
        day = self._books.open(number, rules.user.min_spend_micro, sittings)
        replay = Replay(rules)
        until = min(begin + PATIENCE // BIN, BINS - 1)
        for bins in range(begin + 1, until):
            seen = {event.key for event in _step(day, replay, number, bins)}
            if seen & {attacked, feature_of(attacked), GLOBAL}:
                lost = day.spent(attacked, bins) - day.spent(attacked, begin)
                return Timed(name, (bins - begin) * BIN, lost)
        return Timed(name, None, day.spent(attacked, until) - day.spent(attacked, begin))


def _step(day: Day, replay: Replay, number: int, bins: int) -> list[Event]:
    now = FIRST + timedelta(days=number, minutes=bins * BIN)
    return replay.step(now, day.known(bins), lambda: day.spenders(bins))


def _matters(day: Day, bins: int, rules: Rules) -> bool:
    """Return whether a feature or GLOBAL has reached the minimum spend of its rule.

    Users need no such check: one above the limit still is at the end of the day.
    """
    surge = rules.feature.surge_min_micro
    return day.spent(GLOBAL, bins) >= rules.everything.min_spend_micro or any(
        day.spent(slug, bins) >= rules.feature.min_spend_micro
        or (surge is not None and day.half_hour(slug, bins) >= surge)
        for slug in FEATURES
    )


def _month(at: datetime) -> int:
    return (at - FIRST).days // MONTH


def _caps(made: World) -> Mapping[str, int]:
    """Derive the caps from the working days of the last 14 days."""
    last = range(len(made.days) - 14, len(made.days))
    days = [number for number in last if number % 7 < WORKDAYS]
    caps = {
        slug: round(
            CAP
            * fmean(
                sum(each.until(BINS) for each in made.days[day] if feature_of(each.key) == slug)
                for day in days
            )
        )
        for slug in FEATURES
    }
    return {**caps, GLOBAL: sum(caps.values())}
