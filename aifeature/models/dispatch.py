"""Workers, and the dispatcher's position in the rotation of users."""

from __future__ import annotations

from django.db import models


class Worker(models.Model):
    """A worker process as it last reported: its queue and its threads."""

    name = models.CharField(max_length=200, primary_key=True)
    queue = models.CharField(max_length=16, default="llm", db_default="llm")
    slots = models.PositiveIntegerField(
        "threads", help_text="Jobs it can run at the same time; 0 while it is stopping."
    )
    seen_at = models.DateTimeField("last seen", help_text="Updated every second.")
    resumed_at = models.DateTimeField(
        null=True, blank=True, help_text="When it was seen again after a gap of over 3 seconds."
    )

    def __str__(self) -> str:
        return self.name


class DispatchTurn(models.Model):
    """A single row: the feature and user served last. Dispatchers take turns by its lock."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    feature = models.CharField(max_length=40, blank=True)
    user_id = models.BigIntegerField()

    def __str__(self) -> str:
        return f"after user {self.user_id} of {self.feature or 'nothing'}"
