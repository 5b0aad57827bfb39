"""Throttle: a tighter rate for a user for the rest of the UTC day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_UP, Decimal
from typing import Final

from django.db import transaction
from django.db.models import Max

from aifeature.models import RateOverride, SpendHour, SpendWindow
from aifeature.policies.spike import Verdict
from aifeature.services.alerting import alerts
from aifeature.services.monitoring.spikes import notices, shares
from aifeature.services.monitoring.spikes.baseline import DAYS, midnight
from aifeature.services.monitoring.spikes.history import CHECK, USER_SPIKE
from aifeature.services.monitoring.spikes.shares import TopSpender

LEAST: Final = Decimal("0.1")
"""Least requests a minute of a throttled user."""


def throttle(key: str, verdict: Verdict, most: Sequence[TopSpender], now: datetime) -> RateOverride:
    """Throttle a user of a feature and open an alert, in one transaction.

    The alert marks the throttle as made today, so one that an operator deletes is not made again.
    The key is `feature:user id`; `most` are the feature's top spenders.
    """
    slug, _, user = key.rpartition(":")
    rate = usual_rate(key, now)
    seen = f"User {user} of {slug} spent {notices.why(verdict, now)}"
    with transaction.atomic():
        alerts.begin(
            USER_SPIKE,
            key,
            f"{seen}. {shares.sentence(most)} User {user} is held to {rate.normalize():f} requests"
            " a minute until midnight UTC: check their jobs, and delete the rate override if the"
            " spend is legitimate.",
            {
                **notices.figures(verdict, now),
                "requests_per_minute": str(rate),
                "top_spenders": shares.figures(most),
            },
        )
        return RateOverride.objects.create(
            user_id=int(user),
            feature=slug,
            requests_per_minute=rate,
            in_flight=1,  # their queued jobs are sent one after the other
            reason=f"{seen}.",
            expires_at=midnight(now) + timedelta(days=1),
            check_name=CHECK,
        )


def usual_rate(key: str, now: datetime) -> Decimal:
    """Return the requests a minute of the busiest hour in the trailing days, at least LEAST."""
    begin = midnight(now)
    past = SpendHour.objects.filter(
        scope=SpendWindow.Scope.USER, key=key, hour__gte=begin - timedelta(days=DAYS)
    ).filter(hour__lt=begin)
    busiest = past.aggregate(calls=Max("calls"))["calls"] or 0
    return max(LEAST, (Decimal(busiest) / 60).quantize(Decimal("0.01"), ROUND_UP))
