"""Database queries of the cost-spike check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from heapq import nlargest
from typing import Final

from django.db.models import F, QuerySet, Sum

from aifeature import registry
from aifeature.models import (
    Alert,
    ControlChange,
    FeatureControl,
    Launch,
    RateOverride,
    SpendHour,
    SpendWindow,
)
from aifeature.policies.spike import HOURS
from aifeature.services import controls
from aifeature.services.controls import GLOBAL, throttles
from aifeature.services.monitoring.spikes import baseline, recent
from aifeature.services.monitoring.spikes.baseline import (
    AS_USUAL,
    DAYS,
    Announced,
    Weights,
    midnight,
)
from aifeature.services.monitoring.spikes.judge import Days, Done, Known, Spenders, feature_of

CHECK: Final = throttles.SPEND_CHECK
"""Name of the check in audit rows and throttles."""

USER_SPIKE: Final = "user_spike"
"""Kind of alerts about users. The subject is `feature:user id`."""

SPENDERS: Final = 10
"""Top spenders read per feature and period."""

REAL: Final = F("spend_micro") - F("phantom_micro")
"""Spend that the rules count."""

Scope = SpendWindow.Scope


def known(now: datetime, *, least_of_user: int) -> Known:
    """Return the input of `judge`, with only those users who may have begun a spike.

    Users below `least_of_user` micro-dollars today are left out, unless their alert is open.
    """
    since = midnight(now) - timedelta(days=DAYS)
    return Known(
        days=of_features(since, now),
        users=_of_users(since, now, least_of_user),
        weights=launches(now),
        caps=caps(),
        done={**_throttles(now), **_trips(now)},
        half_hours=_half_hours(now),
        tripped=_tripped(since),
    )


def spenders(now: datetime) -> Spenders:
    """Return each feature's top spenders of today, the latest two hours and the half hour."""
    since = midnight(now) - timedelta(days=DAYS)
    today = SpendHour.objects.filter(scope=Scope.USER, hour__gte=midnight(now), hour__lte=now)
    latest = SpendHour.objects.filter(
        scope=Scope.USER, hour__gt=now - timedelta(hours=2), hour__lte=now
    )
    keys = most(today, SPENDERS) | most(latest, SPENDERS)
    half_hours = recent.of_users(now, most=SPENDERS, also=list(keys))
    keys |= set(half_hours)
    return Spenders(_days_of_users(keys, since, now), {**dict.fromkeys(keys, 0), **half_hours})


def most(hours: QuerySet[SpendHour], count: int) -> set[str]:
    """Return the keys of the top spenders in these hours, at most `count` per feature."""
    spent = hours.values("key").annotate(spent=Sum(REAL)).filter(spent__gt=0)
    by_feature: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for key, micro in spent.values_list("key", "spent").iterator():
        by_feature[feature_of(key)].append((micro, key))
    return {key for of in by_feature.values() for _, key in nlargest(count, of)}


def _half_hours(now: datetime) -> dict[str, int]:
    spent = recent.of_features(now)
    return {slug: spent.get(slug, 0) for slug in (*registry.all_features(), GLOBAL)}


def caps() -> dict[str, int | None]:
    """Return the daily caps of each feature and GLOBAL in micro-dollars; None is no cap."""
    features = registry.all_features()
    each = {slug: controls.caps(feature).feature for slug, feature in features.items()}
    return {**each, GLOBAL: controls.global_caps().everything}


def of_features(since: datetime, until: datetime) -> dict[str, Days]:
    """Return the hourly spend of each feature and GLOBAL."""
    hours = SpendHour.objects.filter(
        scope__in=(Scope.FEATURE, Scope.GLOBAL), hour__gte=since, hour__lte=until
    )
    curves = by_key(hours)
    days = {slug: curves.get(slug, {}) for slug in registry.all_features()}
    return {**days, GLOBAL: curves.get("", {})}


def by_key(hours: QuerySet[SpendHour]) -> dict[str, Days]:
    """Return the hourly spend of each key, without phantom spend."""
    curves: dict[str, dict[date, list[int]]] = {}
    for key, hour, micro in hours.annotate(real=REAL).values_list("key", "hour", "real"):
        days = curves.setdefault(key, {})
        days.setdefault(hour.date(), [0] * HOURS)[hour.hour] = micro
    return dict(curves)


def launches(now: datetime) -> dict[str, Weights]:
    """Return today's launch factors by feature or GLOBAL."""
    begin = midnight(now)
    rows = Launch.objects.filter(starts_at__lt=begin + timedelta(days=1), ends_at__gt=begin)
    return weights_by_feature(
        [(row.feature, Announced(row.starts_at, row.ends_at, float(row.factor))) for row in rows],
        begin,
    )


def weights_by_feature(
    announced: Iterable[tuple[str, Announced]], day: datetime
) -> dict[str, Weights]:
    """Return the factors of keys with a launch. Launches of GLOBAL raise features as well."""
    listed: defaultdict[str, list[Announced]] = defaultdict(list)
    for slug, launch in announced:
        listed[slug].append(launch)
    shared = listed.get(GLOBAL, [])
    factors = {slug: baseline.weights([*own, *shared], day) for slug, own in listed.items()}
    return {slug: by for slug, by in factors.items() if by != list(AS_USUAL)}


def _of_users(since: datetime, now: datetime, least: int) -> dict[str, Days]:
    """Read users with an open alert, and those who spent lately and `least` or more today."""
    today = SpendHour.objects.filter(scope=Scope.USER, hour__gte=midnight(now), hour__lte=now)
    lately = today.filter(hour__gt=now - timedelta(hours=2)).values("key")
    active = today.filter(key__in=lately).values("key").annotate(spent=Sum(REAL))
    keys = set(active.filter(spent__gte=least).values_list("key", flat=True))
    alerts = Alert.objects.filter(kind=USER_SPIKE, closed_at=None)
    keys |= set(alerts.values_list("subject", flat=True))
    return _days_of_users(keys, since, now)


def _days_of_users(keys: Collection[str], since: datetime, now: datetime) -> dict[str, Days]:
    if not keys:
        return {}
    hours = SpendHour.objects.filter(scope=Scope.USER, key__in=keys, hour__gte=since, hour__lte=now)
    return _without_throttled({key: {} for key in keys} | by_key(hours), since, midnight(now))


def _without_throttled(
    users: Mapping[str, Days], since: datetime, until: datetime
) -> dict[str, Days]:
    """Leave out days with a throttle by this check.

    A throttle that an operator deleted was a mistake, so its day counts.
    """
    rows = RateOverride.objects.filter(
        check_name=CHECK, expires_at__gt=since, expires_at__lte=until
    ).values_list("feature", "user_id", "expires_at")
    left_out = {(f"{slug}:{user}", _day_before(at)) for slug, user, at in rows if at is not None}
    return {
        key: {day: curve for day, curve in days.items() if (key, day) not in left_out}
        for key, days in users.items()
    }


def _day_before(end: datetime) -> date:
    return (end - timedelta(microseconds=1)).date()


def _throttles(now: datetime) -> dict[str, Done]:
    alerts = Alert.objects.filter(kind=USER_SPIKE, figures__day=now.date().isoformat())
    return {alert.subject: _done(alert.figures) for alert in alerts}


def _trips(now: datetime) -> dict[str, Done]:
    """Return today's latest trip of each switch."""
    killed = set(FeatureControl.objects.filter(killed=True).values_list("feature", flat=True))
    rows = _all_trips().filter(figures__day=now.date().isoformat()).order_by("at", "id")
    return {
        row.feature: _done(row.figures or {}, released=row.feature not in killed) for row in rows
    }


def _tripped(since: datetime) -> dict[str, set[date]]:
    """Return the days on which this check pulled each switch."""
    days: defaultdict[str, set[date]] = defaultdict(set)
    for row in _all_trips().filter(at__gte=since):
        days[row.feature].add(date.fromisoformat((row.figures or {})["day"]))
    return days


def _all_trips() -> QuerySet[ControlChange]:
    return ControlChange.objects.filter(
        check_name=CHECK, field="killed", new="True", figures__has_key="day"
    )


def _done(figures: Mapping[str, int], *, released: bool = False) -> Done:
    return Done(today=figures["today_micro"], released=released)
