"""Keeps the sums by the hour of a made-up world, as `rollup` keeps those of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

from aifeature.policies.spike import HOURS
from aifeature.services.control import EVERYTHING
from aifeature.services.spikes.baseline import Weights
from aifeature.services.spikes.history import weights_by_feature
from aifeature.services.spikes.judge import Known, feature_of
from aifeature.services.spikes.made_up import FEATURES, FIRST, Call, World

RECENT: Final = 120
"""Minutes without a call after which a user is not looked at."""

Curves = dict[date, list[int]]


class Books:
    """The sums by the hour of a made-up world, as far as time has gone."""

    def __init__(self, world: World, caps: Mapping[str, int | None]) -> None:
        self._launches = world.launches
        self._caps = caps
        self._features: dict[str, Curves] = {slug: {} for slug in (*FEATURES, EVERYTHING)}
        self._users: dict[str, Curves] = {}
        self._today: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._weights: dict[str, Weights] = {}

    def begin(self, day: date) -> None:
        """A new day."""
        self._today, self._latest = {}, {}
        begins = datetime.combine(day, FIRST.timetz())
        self._weights = weights_by_feature(self._launches, begins)

    def add(self, day: date, call: Call) -> None:
        """A call is made."""
        hour = call.minute // 60
        for curves in (
            self._features[feature_of(call.key)],
            self._features[EVERYTHING],
            self._users.setdefault(call.key, {}),
        ):
            curve = curves.get(day)
            if curve is None:
                curve = curves[day] = [0] * HOURS
            curve[hour] += call.micro
        self._today[call.key] = self._today.get(call.key, 0) + call.micro
        self._latest[call.key] = call.minute

    def known(self, minute: int, least: int) -> Known:
        """As `history` reads it."""
        users = {
            key: self._users[key]
            for key, spent in self._today.items()
            if spent >= least and self._latest[key] > minute - RECENT
        }
        return Known(days=self._features, users=users, weights=self._weights, caps=self._caps)
