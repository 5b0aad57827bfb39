"""The guards' audit log: rows for findings outside of a submission, and the flags of users.

Findings of an input that becomes a job are stored with the job (`aifeature.models.submission`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import Error, connection, transaction
from django.db.models import Count, Max, TextField
from django.db.models.functions import Cast, Coalesce, Now

from aifeature.guarding import Finding, Guard
from aifeature.models import EVALUATIONS_ACCOUNT, GuardEvent, NewGuardEvent, RateOverride
from aifeature.models import guard_event as rows

logger = logging.getLogger(__name__)

Stage = GuardEvent.Stage
Action = GuardEvent.Action

_WRITTEN: Final = (Guard.INJECTION, Guard.FOUL_LANGUAGE)
"""Guards whose findings are about a user. Others find what honest users send too."""


def record(
    *,
    user_id: int | None,
    feature: str,
    job: UUID | None,
    stage: GuardEvent.Stage,
    action: GuardEvent.Action,
    findings: Sequence[Finding],
) -> bool:
    """Store findings, in one statement. Return False if the database did not store them.

    An error of the database is not raised: the guard's decision holds with and without its row.

    Example:
        record(
            user_id=7, feature="triage", job=job.id, stage=Stage.ANSWER, action=Action.REDACTED,
            findings=[Finding(Guard.PERSONAL_DATA, "email", count=2)],
        )
    """
    return record_all(
        [NewGuardEvent(stage, action, found) for found in findings],
        user_id=user_id,
        feature=feature,
        job=job,
    )


def record_all(
    events: Sequence[NewGuardEvent], *, user_id: int | None, feature: str, job: UUID | None
) -> bool:
    """Store events of different stages or actions, as `record` does."""
    # Otherwise the failed statement would break the caller's transaction.
    savepoint = transaction.atomic() if connection.in_atomic_block else nullcontext()
    try:
        with savepoint:
            rows.record(events, user_id=user_id, feature=feature, job_id=job)
    except Error:
        logger.exception(
            "guards: events of %s not stored: %s",
            feature,
            ", ".join(
                f"{each.finding.guard} {each.finding.category[: rows.MAX_CATEGORY]} {each.action}"
                for each in events
            ),
        )
        return False
    return True


@dataclass(frozen=True, slots=True)
class Flagged:
    """A user and the flagged requests of some days."""

    user_id: int
    name: str
    requests: int
    features: list[str]
    last: datetime
    throttled_until: datetime | None
    """The end of a throttle, by any check."""


def most_flagged(*, days: int, most: int) -> list[Flagged]:
    """Return the users with the most requests that were flagged for what a user wrote."""
    # The events of a request without a job have the same time, and no others have it.
    request = Coalesce(Cast("job_id", TextField()), Cast("at", TextField()))
    rows_of_users = (
        GuardEvent.objects.filter(
            at__gt=Now() - timedelta(days=days),
            stage=Stage.INPUT,
            guard__in=_WRITTEN,
            action__in=(Action.FLAGGED, Action.TIGHTENED, Action.REFUSED),
            user__isnull=False,
        )
        .exclude(user__username=EVALUATIONS_ACCOUNT)
        .order_by()
        .values("user_id", "user__username")
        .annotate(
            requests=Count(request, distinct=True),
            features=ArrayAgg("feature", distinct=True),
            last=Max("at"),
        )
        .order_by("-requests", "-last")[:most]
    )
    found = list(rows_of_users)
    throttles = RateOverride.objects.filter(
        user_id__in=[each["user_id"] for each in found], expires_at__gt=Now()
    ).exclude(check_name="")
    until = dict(throttles.order_by("expires_at").values_list("user_id", "expires_at"))
    return [
        Flagged(
            each["user_id"],
            each["user__username"],
            each["requests"],
            each["features"],
            each["last"],
            until.get(each["user_id"]),
        )
        for each in found
    ]


def categories() -> list[str]:
    """Return the categories of the last 30 days, at most 100."""
    recent = GuardEvent.objects.filter(at__gt=Now() - timedelta(days=30))
    return list(recent.order_by("category").values_list("category", flat=True).distinct()[:100])


def delete_expired(*, batch: int) -> int:
    """Delete events that are older than GUARD_EVENT_DAYS. Return their number."""
    days: int = settings.AIFEATURE["GUARD_EVENT_DAYS"]
    total = done = rows.delete_older(days, limit=batch)
    while done == batch:
        done = rows.delete_older(days, limit=batch)
        total += done
    return total
