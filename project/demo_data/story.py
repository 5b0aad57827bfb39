"""Events of the synthetic days, with times counted back from the moment of the load. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from project.demo_data.rhythm import working_day

DAYS: Final = 28
"""Days of requests."""

WEEKS: Final = 12
"""Weekly evaluations of each feature."""

ANSWER, TRIAGE, SUMMARIZE = "answer", "triage", "summarize"
SLUGS: Final = (ANSWER, TRIAGE, SUMMARIZE)

BEFORE_NOW: Final = timedelta(seconds=20)
"""The last request was submitted this long before the load."""

FIRST_SHARE, SECOND_SHARE, THIRD_SHARE = 30, 45, 60
"""Percentages of users of `triage`: before its ramp, and in the ramp's first two steps."""

RAMP_STEPS: Final = (SECOND_SHARE, THIRD_SHARE, 80, 100)
RAMP_HOURS: Final = 72
CANARY_PERCENT: Final = 50


@dataclass(frozen=True, slots=True)
class Span:
    begins: datetime
    ends: datetime

    def holds(self, at: datetime) -> bool:
        """Return whether a time is in it."""
        return self.begins <= at < self.ends


@dataclass(frozen=True, slots=True)
class Story:
    """The times of all events."""

    now: datetime

    @property
    def answer_changed(self) -> datetime:
        """`answer` v2 became live, early in a week. Its users like it less."""
        at = self.now - timedelta(days=3, hours=12)
        return _at_hour(at - timedelta(days=max(0, at.weekday() - 2)), 9, 40)

    @property
    def summarize_changed(self) -> datetime:
        """`summarize` v3 became live."""
        return self.now - timedelta(days=45)

    @property
    def first_activations(self) -> datetime:
        return self.now - timedelta(days=92)

    @property
    def trip(self) -> Span:
        """The kill switch of `summarize` was pulled by the check of cost spikes, for 40 minutes."""
        begins = _at_hour(working_day(self.now - timedelta(days=12)), 13, 7)
        return Span(begins, begins + timedelta(minutes=40))

    @property
    def rush(self) -> Span:
        """One user sent many long documents, which led to the trip."""
        return Span(self.trip.begins - timedelta(minutes=26), self.trip.begins)

    @property
    def outage(self) -> Span:
        """The first model of all routes was overloaded."""
        begins = _at_hour(working_day(self.now - timedelta(days=8)), 10, 12)
        return Span(begins, begins + timedelta(minutes=35))

    @property
    def ramp_started(self) -> datetime:
        return self.now - timedelta(days=6, hours=3)

    @property
    def ramp_moved(self) -> datetime:
        return self.now - timedelta(days=2, hours=2)

    @property
    def ramp_held(self) -> datetime:
        return self.now - timedelta(hours=5, minutes=12)

    @property
    def canary_started(self) -> datetime:
        return self.now - timedelta(days=3, hours=7)

    @property
    def releases(self) -> tuple[tuple[str, datetime], ...]:
        """Name and start of each release of the code, oldest first."""
        return (
            ("2.14.0", self.now - timedelta(days=26, hours=5)),
            ("2.15.0", self.now - timedelta(days=15, hours=2)),
            ("2.15.1", self.answer_changed - timedelta(hours=1, minutes=25)),
        )

    def triage_share(self, at: datetime) -> int:
        """Return the percentage of users with `triage` at this time."""
        if at < self.ramp_started:
            return FIRST_SHARE
        return SECOND_SHARE if at < self.ramp_moved else THIRD_SHARE

    def mondays(self) -> list[datetime]:
        """Return the times of the weekly evaluations, oldest first."""
        at = self.now.replace(hour=3, minute=0, second=0, microsecond=0)
        at -= timedelta(days=at.weekday())
        newest = at if at <= self.now - timedelta(minutes=30) else at - timedelta(days=7)
        return [newest - timedelta(weeks=back) for back in reversed(range(WEEKS))]


def _at_hour(day: datetime, hour: int, minute: int) -> datetime:
    return day.replace(hour=hour, minute=minute, second=0, microsecond=0)
