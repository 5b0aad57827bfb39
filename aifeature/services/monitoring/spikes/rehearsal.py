"""What the rules would have done in the past days, from the real sums by the hour."""

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
"""So many users of each feature are looked at on each day."""

STEP: Final = timedelta(minutes=5)
"""Between two looks. An hour's sum does not tell its minutes: it is taken to be spent evenly, so
that a moment found here is right within the hour."""


def rehearse(now: datetime, *, days: int, rules: Rules) -> list[Event]:
    """What would have been done in so many past days and today, with today's caps.

    Launches count for the whole of their hours, though they may have been announced later. Users
    are looked at on the days on which they are among those who spent most.
    """
    first = midnight(now) - timedelta(days=days)
    since = first - timedelta(days=DAYS)
    features = history.of_features(since, now)
    caps = history.caps()
    rows = Launch.objects.filter(ends_at__gt=first)
    launches = [
        (row.feature, Announced(row.starts_at, row.ends_at, float(row.factor))) for row in rows
    ]
    replay, found = Replay(rules), []
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
            # Who spent most that day is known already.
            found += replay.step(moment, known, lambda: Spenders({}, {}))
    return found


def _moments(day: datetime, now: datetime) -> Iterator[datetime]:
    moment = day + STEP
    while moment <= min(now, day + timedelta(days=1) - timedelta(seconds=1)):
        yield moment
        moment += STEP


def _users(day: datetime) -> dict[str, Days]:
    """Those who spent most of each feature that day, with their days before it."""
    hours = SpendHour.objects.filter(scope=SpendWindow.Scope.USER)
    keys = history.most(hours.filter(hour__gte=day, hour__lt=day + timedelta(days=1)), USERS)
    since = day - timedelta(days=DAYS)
    return history.by_key(
        hours.filter(key__in=keys, hour__gte=since, hour__lt=day + timedelta(days=1))
    )


def _as_of(days: Days, moment: datetime) -> Days:
    """As it stood at that moment."""
    today = moment.date()
    if today not in days:
        return days
    hour, share = place(moment)
    curve = days[today]
    so_far = [*curve[:hour], round(curve[hour] * share), *NOTHING[hour + 1 :]]
    return {**days, today: so_far}
