"""Ratings of answers, actions of their readers, and later events. They are never summed.

The SQL functions are in `sql/feedback.sql`.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aifeature.models.free_text import FreeText
from aifeature.models.functions import rows
from aifeature.models.job import Job


class Feedback(models.Model):
    """A user's rating of one answer. Changeable; the answer is kept as it was when first rated."""

    job = models.OneToOneField(Job, models.PROTECT, related_name="feedback")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    feature = models.CharField(max_length=40)
    rating = models.SmallIntegerField(help_text="1 or -1.")
    first_rating = models.SmallIntegerField(help_text="The first vote, which canaries count.")
    reasons = models.JSONField(default=list, help_text="Slugs of the chosen reasons.")
    comment = FreeText(max_length=2000, blank=True, default="")
    answer = models.JSONField(null=True, help_text="The result at the first vote.")
    prompt_version = models.CharField(max_length=16, blank=True)
    model = models.CharField(max_length=80, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "feedback"
        indexes = (
            models.Index(fields=["feature", "-created_at"], name="feedback_of_feature"),
            models.Index(fields=["-changed_at", "-id"], name="feedback_newest"),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(rating__in=[1, -1]) & Q(first_rating__in=[1, -1]),
                name="feedback_is_up_or_down",
            ),
        )

    def __str__(self) -> str:
        return f"{'up' if self.rating > 0 else 'down'}, job {str(self.job_id)[:8]}"


class JobSignal(models.Model):
    """Something that happened after an answer: an action of its reader, or a reported outcome."""

    class Kind(models.TextChoices):
        IMPLICIT = "implicit", "Action of the reader"
        OUTCOME = "outcome", "Reported by the web app"

    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=40, help_text="Such as `copied` or `ticket_closed`.")
    job = models.ForeignKey(
        Job, models.PROTECT, null=True, related_name="signals", help_text="Empty: of no answer."
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )  # indexed below
    feature = models.CharField(max_length=40)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = (
            models.Index(fields=["feature", "name", "-at"], name="signal_of_feature"),
            models.Index(fields=["user", "-at"], name="signal_of_user"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["job", "kind", "name"],
                condition=Q(job__isnull=False),
                name="signal_once_per_job",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class NpsAnswer(models.Model):
    """An answer to "how likely are you to recommend it", 0 to 10, or a refusal to answer."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )  # indexed below
    feature = models.CharField(max_length=40)
    score = models.SmallIntegerField(null=True, help_text="0 to 10. Empty: not answered.")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = (
            models.Index(fields=["user", "-at"], name="nps_of_user"),
            models.Index(fields=["feature", "-at"], name="nps_of_feature"),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(score__isnull=True) | Q(score__range=(0, 10)), name="nps_0_to_10"
            ),
        )

    def __str__(self) -> str:
        return f"{self.feature}: {self.score}"


def record_outcome(*, user_id: Any, feature: str, name: str, job: UUID | None, most: int) -> bool:
    """Store an outcome. Return False if it is there already, or if the user's day is full."""
    return bool(rows("aif_record_outcome", user_id, feature, name, job, most)[0][0])


def answer_nps(*, user_id: Any, feature: str, score: int | None, days: int) -> bool:
    """Store the answer to an NPS question. Return False if one is less than `days` days old."""
    return bool(rows("aif_answer_nps", user_id, feature, score, days)[0][0])
