"""Throttle of a user whose inputs tried to steer the AI several times in one UTC day."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from decimal import ROUND_UP, Decimal
from typing import Final

from django.contrib.auth import get_user_model
from django.db import Error, transaction
from django.db.models.functions import Now, Trunc

from aifeature.models import Alert, ControlChange, RateOverride, guard_event
from aifeature.services.alerting import alerts
from aifeature.services.controls import cache, effective, rate_overrides
from aifeature.services.controls.throttles import FLAGS_CHECK, is_held
from aifeature.spec import Feature

logger = logging.getLogger(__name__)

FLAGS: Final = 3
"""Flagged requests of one user in one UTC day that lead to a throttle."""

SHARE: Final = Decimal("0.1")
"""Share of the feature's requests a minute that is left."""

LEAST: Final = Decimal("0.1")
"""Least requests a minute of a throttled user."""

UNLIMITED: Final = Decimal(10)
"""Requests a minute that count for a feature without a limit."""


def note(feature: Feature, user_id: int) -> None:
    """Throttle the user, for all features and until midnight UTC, after FLAGS flagged requests.

    Call it after a request with an injection flag, when its events are committed. The throttle is
    made once a day: one that an operator deletes is not made again. Errors of the database are
    logged and not raised.
    """
    if is_held(user_id, FLAGS_CHECK):
        return
    try:
        flagged, now = guard_event.flagged_today(user_id)
        if flagged >= FLAGS:
            _throttle(feature, user_id, flagged, now.astimezone(UTC))
    except Error:
        logger.exception("guards: flags of user %d not counted", user_id)


def end_past_alerts() -> int:
    """Close alerts of earlier days: their throttles have ended. Return their number."""
    past = Alert.objects.filter(
        kind=alerts.USER_FLAGGED,
        closed_at=None,
        opened_at__lt=Trunc(Now(), "day", tzinfo=UTC),
    )
    return sum(alerts.end(alert.kind, alert.subject) for alert in past)


def _throttle(feature: Feature, user_id: int, flagged: int, now: datetime) -> None:
    subject, day = str(user_id), now.date().isoformat()
    rate = _rate(feature)
    seen = (
        f"{flagged} requests of user {user_id} today were flagged as attempts to steer the AI, the"
        f" last one of {feature.slug}."
    )
    with transaction.atomic():
        # One at a time. It does not wait for submissions of the user.
        people = get_user_model().objects.select_for_update(no_key=True)
        if not people.filter(pk=user_id).exists():
            return
        # The alert marks the throttle as made today.
        if Alert.objects.filter(
            kind=alerts.USER_FLAGGED, subject=subject, figures__day=day
        ).exists():
            return
        alerts.end(alerts.USER_FLAGGED, subject)  # of an earlier day
        alerts.begin(
            alerts.USER_FLAGGED,
            subject,
            f"{seen} User {user_id} is held to {rate.normalize():f} requests a minute in all"
            " features until midnight UTC: read the flagged requests in admin, Guard events, and"
            " delete the rate override if they are harmless.",
            {"day": day, "flagged": flagged, "requests_per_minute": str(rate)},
        )
        override = RateOverride.objects.create(
            user_id=user_id,
            requests_per_minute=rate,
            in_flight=1,  # their queued jobs are sent one after the other
            reason=seen,
            expires_at=now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1),
            check_name=FLAGS_CHECK,
        )
        ControlChange.objects.create(
            feature=effective.GLOBAL,
            field=rate_overrides.FIELD,
            new=rate_overrides.in_words(override),
            reason=seen,
            check_name=FLAGS_CHECK,
        )
    cache.clear_cache()


def _rate(feature: Feature) -> Decimal:
    usual = effective.feature_rates(feature).requests_per_minute or UNLIMITED
    return max(LEAST, (usual * SHARE).quantize(Decimal("0.01"), ROUND_UP))
