"""A user's own requests by day, and what is left of the user's limits today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from django.db import connection

from aifeature import registry
from aifeature.models.functions import database_now
from aifeature.policies import budget
from aifeature.policies.rates import RateLimitStatus
from aifeature.services import access, controls
from aifeature.services.jobs import admission, lifecycle
from aifeature.services.jobs.refusals import AccessBlocked, FeaturePaused, Refusal
from aifeature.spec import Feature

if TYPE_CHECKING:
    from django.contrib.auth.models import User

DAYS: Final = 30
"""UTC days, with today."""

MOST: Final = 20_000
"""Most jobs that are read. Older ones of a user with more are in no figure."""

LEAST: Final = 5
"""Fewest charged requests from which the cost of one is estimated."""


@dataclass(frozen=True, slots=True)
class FeatureUsage:
    """The usage of one feature by one user. Amounts are in micro-dollars."""

    feature: Feature
    days: Mapping[date, int]
    """Requests that the user sent, by UTC day, oldest first: all of the last `DAYS` days."""
    charged_micro: int
    """Charged today."""
    used: float | None
    """Share of today's allowance that is used, 0 to 1; None: there is no limit."""
    about_left: int | None
    """The number of further requests that the allowance admits today, at the usual charge of one of
    this user; None: there is no limit, or too few requests to estimate it."""
    rate: RateLimitStatus | None
    """Requests left within a minute; None: there is no limit, or no access."""
    refusal: Refusal | None
    """Why a request would be refused now, apart from the rate; None: it would not be."""

    @property
    def today(self) -> int:
        return self.days[max(self.days)]

    @property
    def total(self) -> int:
        return sum(self.days.values())


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of all features by one user."""

    features: list[FeatureUsage]
    """Those that the user may see, and those that an operator blocks with a message."""
    others: int
    """Requests of the last `DAYS` days to features that the user cannot see now."""
    resets_at: datetime
    """When the next UTC day begins."""
    is_cut: bool
    """Whether there were more than `MOST` requests, so that the oldest are missing."""


@dataclass(slots=True)
class _Past:
    days: dict[date, int] = field(default_factory=dict)
    charged: int = 0
    """Jobs with a charge."""
    charge_micro: int = 0


def of(user: User) -> Usage:
    """Return the usage of a user until now, by the database's clock. It writes no row."""
    now = database_now()
    last = now.astimezone(UTC).date()
    days = [last - timedelta(days=back) for back in reversed(range(DAYS))]
    past, found = _past(user.pk, since=days[0])
    shown = _shown(user)
    known = {feature.slug for feature, _ in shown}
    return Usage(
        features=[
            _of_feature(feature, block, past.get(feature.slug, _Past()), days, user.pk)
            for feature, block in shown
        ],
        others=sum(sum(each.days.values()) for slug, each in past.items() if slug not in known),
        resets_at=budget.resets_at("user", now),
        is_cut=found >= MOST,
    )


def _shown(user: User) -> list[tuple[Feature, AccessBlocked | None]]:
    """Return the features that the user may see or is blocked from with a message."""
    visible = {feature.slug for feature in lifecycle.visible_features(user=user)}
    shown: list[tuple[Feature, AccessBlocked | None]] = []
    for feature in registry.offered().values():
        if feature.slug in visible:
            shown.append((feature, None))
        elif block := access.block_of(feature, user):
            shown.append((feature, AccessBlocked(access.blocks.notice(block))))
    return shown


def _of_feature(
    feature: Feature, block: AccessBlocked | None, past: _Past, days: list[date], user_id: int
) -> FeatureUsage:
    charged, left_micro, used = _allowance(feature, user_id)
    usual = past.charge_micro / past.charged if past.charged >= LEAST else None
    return FeatureUsage(
        feature=feature,
        days={day: past.days.get(day, 0) for day in days},
        charged_micro=charged,
        used=used,
        about_left=None if left_micro is None or not usual else int(left_micro // usual),
        rate=None if block else admission.rate_limit_status(feature, user_id),
        refusal=block or _refusal(feature, user_id),
    )


def _refusal(feature: Feature, user_id: int) -> Refusal | None:
    if controls.is_paused(feature.slug, user_id):
        return FeaturePaused(lifecycle.PAUSED)
    return admission.refusal_for(feature, user_id)


def _allowance(feature: Feature, user_id: int) -> tuple[int, int | None, float | None]:
    """Return what is charged today, what is left and the used share of the user's limits.

    Of several limits the one that is nearest counts. None, None: the user has none.
    """
    caps, (_, spent) = controls.caps(feature), admission.spent(feature, user_id)
    own = {"user": caps.user, "user_spend": caps.user_spend, "account": caps.account}
    limits = [(spent[scope], cap) for scope, cap in own.items() if cap is not None]
    left = min((max(0, cap - used) for used, cap in limits), default=None)
    share = max((min(1.0, used / cap) if cap else 1.0 for used, cap in limits), default=None)
    return spent["user"], left, share


def _past(user_id: int, *, since: date) -> tuple[dict[str, _Past], int]:
    """Return the user's requests since the beginning of a UTC day, by feature, and the rows read.

    A job that an operator requeued counts once: its user sent it once.
    """
    begin = datetime.combine(since, time(), UTC)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT feature, (created_at AT TIME ZONE 'UTC')::date,
                   count(*), count(*) FILTER (WHERE requeued_from_id IS NULL),
                   count(*) FILTER (WHERE charge_micro > 0), sum(charge_micro)
              FROM (SELECT feature, created_at, requeued_from_id, charge_micro
                      FROM aifeature_job
                     WHERE user_id = %s AND created_at >= %s AND origin = 'user'
                     ORDER BY created_at DESC, id DESC
                     LIMIT %s) AS newest
             GROUP BY 1, 2""",
            [user_id, begin, MOST],
        )
        found = cursor.fetchall()
    past: dict[str, _Past] = {}
    for slug, day, _, sent, charged, micro in found:
        own = past.setdefault(slug, _Past())
        own.days[day] = sent
        own.charged += charged
        own.charge_micro += int(micro)
    return past, sum(row[2] for row in found)
