"""Lets the check judge moment after moment without doing anything: what would it have done?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import NamedTuple

from aifeature.policies.spike import Kind, Verdict
from aifeature.services.monitoring.spikes.baseline import midnight
from aifeature.services.monitoring.spikes.judge import Days, Done, Known, Rules, Spenders, judge_all


class Event(NamedTuple):
    """A user who would have been throttled, or a switch that would have been pulled."""

    at: datetime
    key: str
    """`feature:user id`, a feature, or GLOBAL."""
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
    _day: datetime | None = None
    _done: dict[str, Done] = field(default_factory=dict)
    _acted: dict[str, set[date]] = field(default_factory=dict)

    def step(self, now: datetime, known: Known, spenders: Callable[[], Spenders]) -> list[Event]:
        """What the check would do now that it has not done today.

        Args:
            now: The moment.
            known: What is known; `done` and `tripped` are not used.
            spenders: The users who spent most, read if a switch would be pulled.
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
        """Without the past days on which a user was throttled, as `history` reads it."""
        found = dict(users)
        for key in found.keys() & self._acted.keys():
            acted = self._acted[key] - {today}
            found[key] = {day: curve for day, curve in found[key].items() if day not in acted}
        return found

    def _do(self, now: datetime, key: str, verdict: Verdict) -> bool:
        is_user = ":" in key
        if is_user and key in self._done:
            return False
        self._acted.setdefault(key, set()).add(now.date())
        self._done[key] = Done(today=verdict.today, released=not is_user)
        return True
