"""Verdicts on users, features and GLOBAL at one moment, without a database.

The excess of a few users who cause a spike does not count for their feature, and that of a stopped
feature does not count for GLOBAL. Otherwise one account could stop everything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from aifeature.policies import spike
from aifeature.policies.spike import Excess, Kind, Share, Spend, Verdict
from aifeature.services.controls import GLOBAL
from aifeature.services.monitoring.spikes import baseline, few
from aifeature.services.monitoring.spikes.baseline import AS_USUAL, DAYS, NOTHING, Curve, Weights

Days = Mapping[date, Curve]
"""Hourly spend by UTC day. A missing day had none."""


@dataclass(frozen=True, slots=True)
class Rules:
    user: spike.SpikeRule = spike.USER
    feature: spike.SpikeRule = spike.FEATURE
    everything: spike.SpikeRule = spike.GLOBAL


@dataclass(frozen=True, slots=True)
class Done:
    """An action of this check today on a user or feature."""

    today: int
    """Micro-dollars of that day at the time of the action."""
    released: bool = False
    """Whether a person has released the switch. Not used for throttles."""


@dataclass(frozen=True, slots=True)
class Known:
    """Input at one moment. Keys are features and GLOBAL, and `feature:user id` for users."""

    days: Mapping[str, Days]
    """Of features and GLOBAL."""
    users: Mapping[str, Days] = field(default_factory=dict)
    weights: Mapping[str, Weights] = field(default_factory=dict)
    """Today's launch factors. A missing key is not raised."""
    caps: Mapping[str, int | None] = field(default_factory=dict)
    """Daily caps in micro-dollars."""
    done: Mapping[str, Done] = field(default_factory=dict)
    half_hours: Mapping[str, int] = field(default_factory=dict)
    """Spend of the latest half hour. For a missing key it is derived from the hours."""
    tripped: Mapping[str, Collection[date]] = field(default_factory=dict)
    """Past days on which this check pulled the switch."""


class Spenders(NamedTuple):
    """Top spenders, by `feature:user id`."""

    days: Mapping[str, Days]
    half_hours: Mapping[str, int]


def judge(known: Known, now: datetime, rules: Rules = Rules()) -> dict[str, Verdict]:
    """Return the verdicts on each user, each feature and GLOBAL, by key."""
    found: dict[str, Verdict] = {}
    beyond: dict[str, Excess] = {}
    for key, days in known.users.items():
        spend = _spend(known, key, days, [(days, _weights(known, feature_of(key)))], now)
        found[key] = spike.decide(rules.user, spend)
        beyond[key] = few.beyond_usual(spend, found[key], _busiest_hour(days, now))
    slugs = [slug for slug in known.days if slug != GLOBAL]
    dealt, least = Excess(), rules.user.min_spend_micro
    for slug in slugs:
        own = {key: of for key, of in beyond.items() if feature_of(key) == slug}
        spend = _after(_of_feature(known, slug, now), known.done.get(slug))
        dealt += _decide(slug, rules.feature, spend, own, least, found)
        if slug in known.done or found[slug].kind is not Kind.OK:
            # Includes spend since a release, which the feature's own verdict limits.
            dealt += found[slug].above
    shared = {key for key in found if found[key].kind is Kind.SHARE}
    rest = {key: of for key, of in beyond.items() if key not in shared}
    everything = replace(_of_everything(known, slugs, now), dealt_with=dealt)
    spend = _after(everything, known.done.get(GLOBAL))
    _decide(GLOBAL, rules.everything, spend, rest, least, found)
    return found


def judge_all(
    known: Known,
    spenders: Callable[[], Spenders],
    now: datetime,
    rules: Rules = Rules(),
) -> tuple[Known, dict[str, Verdict]]:
    """Judge. If that leads to a new action, judge again with the top spenders added.

    Returns the final input and its verdicts.
    """
    found = judge(known, now, rules)
    if all(
        verdict.kind is Kind.OK or (key in known.users and key in known.done)
        for key, verdict in found.items()
    ):
        return known, found
    most = spenders()
    known = replace(
        known,
        users={**most.days, **known.users},
        half_hours={**most.half_hours, **known.half_hours},
    )
    return known, judge(known, now, rules)


def _decide(
    slug: str,
    rule: spike.SpikeRule,
    spend: Spend,
    beyond: Mapping[str, Excess],
    least: int,
    found: dict[str, Verdict],
) -> Excess:
    """Decide on a feature, or GLOBAL, and on the few users who caused its spike.

    Stores the verdicts in `found`. Returns the excess of the users who are throttled for it. A user
    who spent less than `least` micro-dollars today is not throttled.
    """
    verdict = found[slug] = spike.decide(rule, spend)
    if verdict.kind is Kind.OK:
        return Excess()

    def without(excess: Excess) -> Verdict:
        return spike.decide(rule, replace(spend, dealt_with=spend.dealt_with + excess))

    keys, excess = few.who_caused(verdict, beyond, without)
    if not keys:
        return Excess()
    found[slug] = without(excess)
    whole = verdict.excess_of(verdict.kind)
    for key in keys:
        own = found[key]
        if own.kind is Kind.OK and few.is_unusual(verdict.kind, own, least):
            part = spike.part_of(beyond[key], verdict.kind)
            share = Share(slug, min(1.0, part / whole) if whole else 1.0)
            found[key] = replace(own, kind=Kind.SHARE, share=share)
    return excess


def feature_of(key: str) -> str:
    """Return the feature of a user's key."""
    return key.rpartition(":")[0]


def _weights(known: Known, slug: str) -> Weights:
    return known.weights.get(slug) or known.weights.get(GLOBAL) or AS_USUAL


def _of_feature(known: Known, slug: str, now: datetime) -> Spend:
    days = known.days[slug]
    spend = _spend(known, slug, days, [(days, _weights(known, slug))], now)
    return replace(spend, cap=known.caps.get(slug))


def _of_everything(known: Known, slugs: Sequence[str], now: datetime) -> Spend:
    """Return the spend of GLOBAL. A feature's launch raises only that feature's share."""
    days, usual = known.days.get(GLOBAL, {}), known.weights.get(GLOBAL, AS_USUAL)
    parts = [(days, usual)]
    for slug in slugs:
        more = _weights(known, slug)
        if more is not usual:
            extra = [own - all_ for own, all_ in zip(more, usual, strict=True)]
            parts.append((known.days[slug], extra))
    spend = _spend(known, GLOBAL, days, parts, now)
    return replace(spend, cap=known.caps.get(GLOBAL))


def _spend(
    known: Known, key: str, days: Days, parts: Sequence[tuple[Days, Weights]], now: datetime
) -> Spend:
    """Return today's spend. Each past day is the sum of its raised parts."""
    dates = [day for day in trailing(now) if day in days]
    (whole, usual), *others = parts
    past = [baseline.raised(whole[day], usual) for day in dates]
    for part, by in others:
        for at, day in enumerate(dates):
            if day in part:
                more = baseline.raised(part[day], by)
                past[at] = [a + b for a, b in zip(past[at], more, strict=True)]
    today = days.get(now.date(), NOTHING)
    spend = baseline.spend(today, past, now, half_hour=known.half_hours.get(key))
    tripped = known.tripped.get(key)
    if not tripped:
        return spend
    seen = zip(spend.past, dates, strict=True)
    return replace(spend, past=tuple(replace(of, tripped=day in tripped) for of, day in seen))


def trailing(now: datetime) -> Sequence[date]:
    """Return the past days of the baseline."""
    return _before(now.date())


@lru_cache(maxsize=16)
def _before(today: date) -> Sequence[date]:
    return tuple(today - timedelta(days=back) for back in range(1, DAYS + 1))


def _busiest_hour(days: Days, now: datetime) -> int:
    return max((max(days[day]) for day in trailing(now) if day in days), default=0)


def _after(spend: Spend, done: Done | None) -> Spend:
    """Set `released_at` after a release. While the switch is pulled, the spike persists."""
    return replace(spend, released_at=done.today) if done and done.released else spend
