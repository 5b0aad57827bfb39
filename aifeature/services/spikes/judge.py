"""Judges users, features and everything together, at one moment. Figures only, no database.

From small to large: the excess of a user who is throttled is not held against the feature, nor
that of a feature that is stopped against everything. Else one account would stop them all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final

from aifeature.policies import spike
from aifeature.policies.spike import Kind, Spend, Verdict
from aifeature.services.control import EVERYTHING
from aifeature.services.spikes import baseline
from aifeature.services.spikes.baseline import AS_USUAL, DAYS, NOTHING, Curve, Weights

FEW: Final = 3
"""Throttled users of a feature who count as single accounts. More are the feature's own spike."""

Days = Mapping[date, Curve]
"""Spend by the hour of each UTC day; a day that is missing had none."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rule of each scope."""

    user: spike.SpikeRule = spike.USER
    feature: spike.SpikeRule = spike.FEATURE
    everything: spike.SpikeRule = spike.EVERYTHING


@dataclass(frozen=True, slots=True)
class Done:
    """What this check did today, for one user or feature. Micro-dollars as it saw them then."""

    excess: int
    today: int
    released: bool = False
    """Whether a person released the switch since. Of a throttle: nothing."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known at one moment. Users by `feature:user id`, else by feature or EVERYTHING."""

    days: Mapping[str, Days]
    """Of each feature, and of EVERYTHING."""
    users: Mapping[str, Days] = field(default_factory=dict)
    weights: Mapping[str, Weights] = field(default_factory=dict)
    """How launches raise today, of each feature and of EVERYTHING; one that is missing: not."""
    caps: Mapping[str, int | None] = field(default_factory=dict)
    """Of today in micro-dollars."""
    done: Mapping[str, Done] = field(default_factory=dict)
    tripped: Mapping[str, Collection[date]] = field(default_factory=dict)
    """The past days on which this check pulled a switch."""


def judge(known: Known, now: datetime, rules: Rules = Rules()) -> dict[str, Verdict]:
    """The verdict on each user, each feature and EVERYTHING, by their keys."""
    done = dict(known.done)
    found: dict[str, Verdict] = {}

    def look(key: str, rule: spike.SpikeRule, spend: Spend) -> None:
        verdict = found[key] = spike.decide(rule, spend)
        if verdict.kind is not Kind.OK and key not in done:
            done[key] = Done(excess=verdict.excess, today=verdict.today)

    slugs = [slug for slug in known.days if slug != EVERYTHING]
    spends = {slug: _of_feature(known, slug, now) for slug in slugs}
    for key, days in known.users.items():
        slug = feature_of(key)
        spend = _spend(days, [(days, _weights(known, slug))], now)
        around = _usual_day(spends[slug]) if slug in spends else 0
        look(key, rules.user, replace(spend, usual_around=around))
    dealt = 0
    for slug, spend in spends.items():
        of_users = _dealt_with_users(done, slug)
        look(slug, rules.feature, _after(replace(spend, dealt_with=of_users), known.done.get(slug)))
        # Also what it spent since it was released: how far that may go its own verdict says.
        dealt += of_users + (found[slug].excess if slug in done else 0)
    everything = replace(_of_everything(known, slugs, now), dealt_with=dealt)
    look(EVERYTHING, rules.everything, _after(everything, known.done.get(EVERYTHING)))
    return found


def feature_of(key: str) -> str:
    """The feature of a user's key."""
    return key.rpartition(":")[0]


def _dealt_with_users(done: Mapping[str, Done], slug: str) -> int:
    excesses = [what.excess for key, what in done.items() if feature_of(key) == slug]
    return sum(excesses) if len(excesses) <= FEW else 0


def _weights(known: Known, slug: str) -> Weights:
    return known.weights.get(slug) or known.weights.get(EVERYTHING) or AS_USUAL


def _of_feature(known: Known, slug: str, now: datetime) -> Spend:
    days = known.days[slug]
    spend = _spend(days, [(days, _weights(known, slug))], now, known.tripped.get(slug, ()))
    return replace(spend, cap=known.caps.get(slug))


def _of_everything(known: Known, slugs: Sequence[str], now: datetime) -> Spend:
    """A feature's launch raises the whole by that feature's share of it."""
    days, usual = known.days.get(EVERYTHING, {}), known.weights.get(EVERYTHING, AS_USUAL)
    parts = [(days, usual)]
    for slug in slugs:
        more = _weights(known, slug)
        if more is not usual:
            extra = [own - all_ for own, all_ in zip(more, usual, strict=True)]
            parts.append((known.days[slug], extra))
    spend = _spend(days, parts, now, known.tripped.get(EVERYTHING, ()))
    return replace(spend, cap=known.caps.get(EVERYTHING))


def _spend(
    days: Days,
    parts: Sequence[tuple[Days, Weights]],
    now: datetime,
    tripped: Collection[date] = (),
) -> Spend:
    """Of today, beside the sum of these raised parts on each past day."""
    dates = [day for day in trailing(now) if day in days]
    past = [
        _sum(baseline.raised(part[day], by) for part, by in parts if day in part) for day in dates
    ]
    spend = baseline.spend(days.get(now.date(), NOTHING), past, now)
    if not tripped:
        return spend
    seen = zip(spend.past, dates, strict=True)
    return replace(spend, past=tuple(replace(of, tripped=day in tripped) for of, day in seen))


def _sum(curves: Iterator[Curve]) -> Curve:
    first = next(curves)
    for curve in curves:
        first = [a + b for a, b in zip(first, curve, strict=True)]
    return first


def trailing(now: datetime) -> list[date]:
    """The past days that make the baseline."""
    return [now.date() - timedelta(days=back) for back in range(1, DAYS + 1)]


def _usual_day(spend: Spend) -> int:
    whole = sorted(day.whole for day in spend.past if day.whole)
    return whole[(len(whole) - 1) // 2] if whole else 0


def _after(spend: Spend, done: Done | None) -> Spend:
    """Raise what a person let go on. While the switch is still pulled, it stays a spike."""
    return replace(spend, released_at=done.today) if done and done.released else spend
