"""Replay: the actions that the check would take moment after moment, without taking them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import NamedTuple

from aifeature.policies.spike import Kind, Verdict
from aifeature.services.monitoring.spikes.baseline import midnight
from aifeature.services.monitoring.spikes.judge import Days, Done, Known, Rules, Spenders, judge_all


class Event(NamedTuple):
    """A throttle or a trip that the check would have made."""

    at: datetime
    key: str
    """`feature:user id`, a feature, or GLOBAL."""
    verdict: Verdict

    @property
    def is_throttle(self) -> bool:
        return ":" in self.key


@dataclass
class Replay:
    """Keeps its past actions in memory, where the check uses audit rows.

    The given spend continues after a trip. So a switch counts as released immediately, and trips
    again on the same day only when the spend has doubled.
    """

    rules: Rules = field(default_factory=Rules)
    _day: datetime | None = None
    _done: dict[str, Done] = field(default_factory=dict)
    _acted: dict[str, set[date]] = field(default_factory=dict)

    def step(self, now: datetime, known: Known, spenders: Callable[[], Spenders]) -> list[Event]:
        """Return the new actions of the check at this moment.

        `known.done` and `known.tripped` are not used. `spenders` is called before a new action.
        """
        if midnight(now) != self._day:
            self._day, self._done = midnight(now), {}
        today = now.date()
        _, verdicts = judge_all(
            replace(
                known,
                users=self._usual(known.users, today),
                done=self._done,
                tripped=self._acted,
            ),
            lambda: self._spenders(spenders(), today),
            now,
            self.rules,
        )
        return [
            Event(now, key, verdict)
            for key, verdict in verdicts.items()
            if verdict.kind is not Kind.OK and self._do(now, key, verdict)
        ]

    def _spenders(self, most: Spenders, today: date) -> Spenders:
        return most._replace(days=self._usual(most.days, today))

    def _usual(self, users: Mapping[str, Days], today: date) -> dict[str, Days]:
        """Leave out past days on which the user was throttled, as `history` does."""
        left = dict(users)
        for key in left.keys() & self._acted.keys():
            acted = self._acted[key] - {today}
            left[key] = {day: curve for day, curve in left[key].items() if day not in acted}
        return left

    def _do(self, now: datetime, key: str, verdict: Verdict) -> bool:
        is_user = ":" in key
        if is_user and key in self._done:
            return False
        self._acted.setdefault(key, set()).add(now.date())
        self._done[key] = Done(today=verdict.today, released=not is_user)
        return True
