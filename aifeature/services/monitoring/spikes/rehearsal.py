"""Rehearsal: the actions of the rules on the past days, from the stored hourly sums."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from aifeature.models import Launch, SpendHour, SpendWindow
from aifeature.services.monitoring.spikes import history
from aifeature.services.monitoring.spikes.baseline import DAYS, NOTHING, Announced, midnight, place
from aifeature.services.monitoring.spikes.judge import Days, Known, Rules, Spenders
from aifeature.services.monitoring.spikes.replay import Event, Replay

USERS: Final = 100
"""Top spenders of each feature that are judged on each day."""

STEP: Final = timedelta(minutes=5)
"""Time between two judgements. Spend is taken as even within each hour, so the time of an event is
accurate to the hour."""


def rehearse(now: datetime, *, days: int, rules: Rules) -> list[Event]:
    """Return the events of the past `days` and today, with today's caps.

    Launches count from their start, even if they were announced later. Users are judged on the
    days on which they are among the top spenders.
    """
    first = midnight(now) - timedelta(days=days)
    since = first - timedelta(days=DAYS)
    features = history.of_features(since, now)
    caps = history.caps()
    rows = Launch.objects.filter(ends_at__gt=first)
    launches = [
        (row.feature, Announced(row.starts_at, row.ends_at, float(row.factor))) for row in rows
    ]
    replay, events = Replay(rules), []
    for number in range(days + 1):
        day = first + timedelta(days=number)
        users = _users(day)
        weights = history.weights_by_feature(launches, day)
        for moment in _moments(day, now):
            known = Known(
                days={key: _as_of(of, moment) for key, of in features.items()},
                users={key: _as_of(of, moment) for key, of in users.items()},
                weights=weights,
                caps=caps,
            )
            # `users` already holds the top spenders.
            events += replay.step(moment, known, lambda: Spenders({}, {}))
    return events


def _moments(day: datetime, now: datetime) -> Iterator[datetime]:
    moment = day + STEP
    while moment <= min(now, day + timedelta(days=1) - timedelta(seconds=1)):
        yield moment
        moment += STEP


def _users(day: datetime) -> dict[str, Days]:
    """Return the day's top spenders of each feature, with their trailing days."""
    hours = SpendHour.objects.filter(scope=SpendWindow.Scope.USER)
    keys = history.most(hours.filter(hour__gte=day, hour__lt=day + timedelta(days=1)), USERS)
    since = day - timedelta(days=DAYS)
    return history.by_key(
        hours.filter(key__in=keys, hour__gte=since, hour__lt=day + timedelta(days=1))
    )


def _as_of(days: Days, moment: datetime) -> Days:
    """Cut the moment's day off at that moment."""
    today = moment.date()
    if today not in days:
        return days
    hour, share = place(moment)
    curve = days[today]
    so_far = [*curve[:hour], round(curve[hour] * share), *NOTHING[hour + 1 :]]
    return {**days, today: so_far}
