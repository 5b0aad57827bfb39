"""Counts of refused submissions, by user, feature and day."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class RefusedSubmissions(models.Model):
    """Submissions of a user and a UTC day that were refused for one reason.

    Web processes add to it some seconds later, and a killed one loses what it has not added.
    """

    class Kind(models.TextChoices):
        RATE_LIMITED = "rate_limited", "Rate limit"
        BUDGET_EXHAUSTED = "budget_exhausted", "Budget used up"
        BLOCKED = "blocked"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    feature = models.CharField(max_length=40)
    day = models.DateField(help_text="In UTC.")
    kind = models.CharField(max_length=16, choices=Kind)
    count = models.PositiveIntegerField()

    class Meta:
        verbose_name_plural = "refused submissions"
        constraints = (
            models.UniqueConstraint(
                fields=["day", "user", "feature", "kind"], name="refused_submissions_once"
            ),
        )

    def __str__(self) -> str:
        return f"#{self.user_id} {self.feature} {self.day} {self.kind}: {self.count}"
