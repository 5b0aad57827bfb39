"""A running canary with planted users, for tests and scenes."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from aifeature.models import Canary, Job, Status
from aifeature.services.rollout import canaries
from tests import proof

SLUG = "summarize"
CANDIDATE = "v3"
DAY = timedelta(days=1)

_numbers = count()


def proven(version: str = CANDIDATE, **values: Any) -> None:
    """Store evidence of a candidate under the conditions of today."""
    proof.evidence(SLUG, version, **proof.of_today(SLUG, version), **values)


def started(user: User, *, percent: int = 50, **values: Any) -> Canary:
    """Open the feature, and start a canary of a candidate with evidence."""
    proof.open_to_users(SLUG)
    proven()
    return begun(user, percent=percent, **values)


def begun(user: User, *, percent: int = 50, **values: Any) -> Canary:
    """Start a canary of the candidate, which has evidence, of a feature that is open."""
    return canaries.start(
        SLUG, CANDIDATE, percent=percent, reason="Try it.", user_id=user.pk, **values
    )


def plant(canary: Canary, arm: str, number: int, *, harmed: int = 0, **fields: Any) -> list[Job]:
    """Store the ended job of each of `number` new users, of which the first `harmed` failed."""
    step = canary.steps.order_by("-id").first()
    assert step is not None
    names = [f"planted-{next(_numbers)}" for _ in range(number)]
    users = User.objects.bulk_create([User(username=name) for name in names])
    now: datetime = timezone.now()
    jobs = [
        Job(
            **{
                "user": user,
                "feature": canary.feature,
                "options": {"canary": {"step": step.pk, "arm": arm}},
                "status": Status.FAILED if i < harmed else Status.SUCCEEDED,
                "error_code": "output_invalid" if i < harmed else "",
                "created_at": now,
                "started_at": now,
                "finished_at": now + timedelta(seconds=2),
                "deadline_at": now + timedelta(minutes=5),
                **fields,
            }
        )
        for i, user in enumerate(users)
    ]
    return Job.objects.bulk_create(jobs)


def aged(canary: Canary) -> datetime:
    """Let a canary have run and been watched for a day. Return the time at which it has."""
    Canary.objects.filter(pk=canary.pk).update(watched_s=DAY.total_seconds())
    return canary.created_at + DAY
