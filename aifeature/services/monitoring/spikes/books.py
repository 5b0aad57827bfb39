"""Sums of a synthetic world, like those that `rollup` keeps for the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import cached_property
from heapq import nlargest
from itertools import accumulate, pairwise
from typing import Final

from aifeature.policies.spike import HOURS
from aifeature.services.controls import GLOBAL
from aifeature.services.monitoring.spikes.baseline import DAYS
from aifeature.services.monitoring.spikes.history import SPENDERS, weights_by_feature
from aifeature.services.monitoring.spikes.judge import Days, Known, Spenders, feature_of
from aifeature.services.monitoring.spikes.synthetic import (
    BIN,
    BINS,
    FEATURES,
    FIRST,
    Sitting,
    World,
)

PER_HOUR: Final = 60 // BIN
HALF_HOUR: Final = 30 // BIN

LIKELY: Final = 3 * SPENDERS
"""Users per feature by total and by dearest sitting, from which the top spenders are taken."""


class Books:
    def __init__(self, world: World, caps: Mapping[str, int | None]) -> None:
        self._world = world
        self._caps = caps
        self._hours: dict[str, dict[date, list[int]]] = {of: {} for of in (*FEATURES, GLOBAL)}
        self._user_hours: dict[tuple[str, int], list[int]] = {}
        self._sums = [_sums(sittings) for sittings in world.days]
        for number, of_day in enumerate(self._sums):
            for slug, sums in of_day.items():
                self._hours[slug][_date(number)] = _hours(sums, BINS)

    def open(self, number: int, least: int, sittings: Sequence[Sitting] | None = None) -> Day:
        """Return one day of the world. `sittings` replaces the day's own.

        `least` is the spend in micro-dollars from which a user is judged.
        """
        if sittings is None:
            return Day(self, number, least, self._world.days[number], self._sums[number])
        return Day(self, number, least, sittings, _sums(sittings))

    def before(self, slug: str, number: int) -> dict[date, list[int]]:
        """Return the hourly spend of the trailing days of a feature or GLOBAL."""
        days = map(_date, range(max(0, number - DAYS), number))
        return {day: self._hours[slug][day] for day in days}

    def user_before(self, key: str, number: int) -> dict[date, list[int]]:
        """Return the hourly spend of the trailing days of a user."""
        by_day = self._world.users.get(key, {})
        curves = {}
        for past in range(number - DAYS, number):
            if past in by_day:
                if (key, past) not in self._user_hours:
                    self._user_hours[key, past] = _curve(by_day[past], BINS)
                curves[_date(past)] = self._user_hours[key, past]
        return curves

    def blank(self, number: int) -> Known:
        """Return the state of a day without its spend."""
        day = FIRST + timedelta(days=number)
        return Known(
            days={}, weights=weights_by_feature(self._world.launches, day), caps=self._caps
        )


class Day:
    """A day. Its methods take the number of elapsed bins as the moment."""

    def __init__(
        self,
        books: Books,
        number: int,
        least: int,
        sittings: Sequence[Sitting],
        sums: Mapping[str, Sequence[int]],
    ) -> None:
        self._books, self._date, self._number = books, _date(number), number
        self._blank = books.blank(number)
        self._sums, self._least = sums, least
        self._past = {slug: books.before(slug, number) for slug in self._sums}
        users: defaultdict[str, list[Sitting]] = defaultdict(list)
        for each in sittings:
            users[each.key].append(each)
        self._users = dict(users)
        self._whole = {key: _spent(of, BINS) for key, of in users.items()}
        self._candidates = [key for key, whole in self._whole.items() if whole >= least]

    def spent(self, key: str, bins: int) -> int:
        """Return the day's spend of a feature, GLOBAL or a user."""
        if key in self._sums:
            return self._sums[key][bins]
        return _spent(self._users.get(key, ()), bins)

    def half_hour(self, slug: str, bins: int) -> int:
        """Return the latest half hour's spend of a feature, GLOBAL or a user."""
        return self.spent(slug, bins) - self.spent(slug, max(0, bins - HALF_HOUR))

    def known(self, bins: int) -> Known:
        """Return the state as `history.known` does."""
        keys = (key for key in self._candidates if self.spent(key, bins) >= self._least)
        return Known(
            days={
                slug: {**self._past[slug], self._date: _hours(sums, bins)}
                for slug, sums in self._sums.items()
            },
            users=self._curves(keys, bins),
            weights=self._blank.weights,
            caps=self._blank.caps,
            half_hours={slug: self.half_hour(slug, bins) for slug in self._sums},
        )

    def spenders(self, bins: int) -> Spenders:
        """Return the top spenders of today and of the latest half hour."""
        today = {key: self.spent(key, bins) for key in self._likely}
        lately = {key: self.half_hour(key, bins) for key in self._likely}
        most = {*_most(today, SPENDERS), *_most(lately, SPENDERS)}
        return Spenders(self._curves(most, bins), {key: lately[key] for key in most})

    @cached_property
    def _likely(self) -> set[str]:
        dearest = {key: max(each.micro for each in of) for key, of in self._users.items()}
        return {*_most(self._whole, LIKELY), *_most(dearest, LIKELY)}

    def _curves(self, keys: Iterable[str], bins: int) -> dict[str, Days]:
        return {
            key: {
                **self._books.user_before(key, self._number),
                self._date: _curve(self._users[key], bins),
            }
            for key in keys
        }


def _date(number: int) -> date:
    return (FIRST + timedelta(days=number)).date()


def _most(of: Mapping[str, int], count: int) -> list[str]:
    """Return the keys with the highest amounts of each feature."""
    by_feature: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for key, micro in of.items():
        by_feature[feature_of(key)].append((micro, key))
    return [key for each in by_feature.values() for _, key in nlargest(count, each)]


def _spent(sittings: Sequence[Sitting], bins: int) -> int:
    spent = 0
    for _, begin, length, micro in sittings:
        if bins > begin:
            spent += micro * min(length, bins - begin)
    return spent


def _sums(sittings: Sequence[Sitting]) -> dict[str, list[int]]:
    """Return the spend of each feature and of GLOBAL by the number of elapsed bins."""
    steps = {slug: [0] * (BINS + 1) for slug in FEATURES}
    for key, begin, length, micro in sittings:
        of_feature = steps[feature_of(key)]
        of_feature[begin] += micro
        of_feature[min(BINS, begin + length)] -= micro
    spent = {slug: list(accumulate(of))[:BINS] for slug, of in steps.items()}
    spent[GLOBAL] = [sum(each) for each in zip(*spent.values(), strict=True)]
    return {slug: list(accumulate(of, initial=0)) for slug, of in spent.items()}


def _hours(sums: Sequence[int], bins: int) -> list[int]:
    at = [sums[min(bins, hour * PER_HOUR)] for hour in range(HOURS + 1)]
    return [after - before for before, after in pairwise(at)]


def _curve(sittings: Sequence[Sitting], bins: int) -> list[int]:
    curve = [0] * HOURS
    for _, begin, length, micro in sittings:
        at, end = begin, min(begin + length, bins)
        while at < end:
            hour = at // PER_HOUR
            after = min(end, (hour + 1) * PER_HOUR)
            curve[hour] += micro * (after - at)
            at = after
    return curve
