"""Lets the check judge moment after moment without doing anything: what would it have done?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import NamedTuple

from aifeature.policies.spike import Kind, Verdict
from aifeature.services.spikes.baseline import midnight
from aifeature.services.spikes.judge import Days, Done, Known, Rules, judge


class Event(NamedTuple):
    """A user who would have been throttled, or a switch that would have been pulled."""

    at: datetime
    key: str
    """`feature:user id`, a feature, or EVERYTHING."""
    verdict: Verdict

    @property
    def is_throttle(self) -> bool:
        """Whether a user was meant."""
        return ":" in self.key


@dataclass
class Replay:
    """Remembers what it would have done, as the audit rows do for the check.

    Spend goes on as it is given. So a switch counts as released at once, and a day has a second
    trip only when its spend has doubled again.
    """

    rules: Rules = field(default_factory=Rules)
    throttles_hold: bool = False
    """Whether what a throttled user spends all the same is not held against their feature."""
    _day: datetime | None = None
    _done: dict[str, Done] = field(default_factory=dict)
    _acted: dict[str, set[date]] = field(default_factory=dict)

    def step(self, now: datetime, known: Known) -> list[Event]:
        """What the check would do now that it has not done today. `known.done` is not used."""
        if midnight(now) != self._day:
            self._day, self._done = midnight(now), {}
        users = {key: self._usual(key, days, now.date()) for key, days in known.users.items()}
        verdicts = judge(
            replace(known, users=users, done=self._done, tripped=self._acted), now, self.rules
        )
        for key in self._done.keys() & users.keys() if self.throttles_hold else ():
            self._done[key] = replace(self._done[key], excess=verdicts[key].excess)
        return [
            Event(now, key, verdict)
            for key, verdict in verdicts.items()
            if verdict.kind is not Kind.OK and self._do(now, key, verdict)
        ]

    def _usual(self, key: str, days: Days, today: date) -> Days:
        """Without the past days on which the user was throttled, as `history` reads it."""
        acted = self._acted.get(key, set()) - {today}
        return {day: days[day] for day in days if day not in acted} if acted else days

    def _do(self, now: datetime, key: str, verdict: Verdict) -> bool:
        is_user = ":" in key
        if is_user and key in self._done:
            return False
        self._acted.setdefault(key, set()).add(now.date())
        self._done[key] = Done(excess=verdict.excess, today=verdict.today, released=not is_user)
        return True
