"""The NPS question: how likely is a user to recommend a feature, 0 to 10. It is shown rarely."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.db.models.functions import Now

from aifeature.models import Job, NpsAnswer, Status, feedback

if TYPE_CHECKING:
    from django.contrib.auth.models import User

EVERY_DAYS: Final = 90
"""A user answers at most once in this time, over all features."""

LEAST_JOBS: Final = 3
"""Answers of the feature that a user must have had."""

SCORES: Final = range(11)


def is_due(user: User, job: Job) -> bool:
    """Return whether the page of this job shows the question. Reads only."""
    if job.status != Status.SUCCEEDED or job.result is None:
        return False
    since = Now() - timedelta(days=EVERY_DAYS)
    if NpsAnswer.objects.filter(user=user, at__gt=since).exists():
        return False
    answered = Job.objects.of_users().filter(
        user=user, feature=job.feature, status=Status.SUCCEEDED
    )
    return len(answered.values_list("pk")[:LEAST_JOBS]) == LEAST_JOBS


def answer(*, user: User, job: Job, score: int | None) -> bool:
    """Store the answer of a user; None: not now. Return whether it was stored.

    The second answer of a user within EVERY_DAYS, as from another tab, is ignored.

    Raises:
        ValueError: the score is not one of SCORES.
        django.db.Error: the database is unavailable or locked.
    """
    if score is not None and score not in SCORES:
        raise ValueError(score)
    return is_due(user, job) and feedback.answer_nps(
        user_id=user.pk, feature=job.feature, score=score, days=EVERY_DAYS
    )
