"""Which workers there are, and whose turn it is: what the dispatcher needs to be fair."""

from __future__ import annotations

from django.db import models


class Worker(models.Model):
    """A worker process, the queue it serves and the threads it offers, as it last reported."""

    name = models.CharField(max_length=200, primary_key=True)
    queue = models.CharField(max_length=16, default="llm", db_default="llm")
    slots = models.PositiveIntegerField(
        "threads", help_text="Jobs it runs at once; 0 while it is stopping."
    )
    seen_at = models.DateTimeField("last seen", help_text="Every second while it lives.")
    resumed_at = models.DateTimeField(
        null=True, blank=True, help_text="When it was seen again after a gap of seconds."
    )

    def __str__(self) -> str:
        return self.name


class DispatchTurn(models.Model):
    """One row: the user of a feature who was served last. Locked by whoever dispatches."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    feature = models.CharField(max_length=40, blank=True)
    user_id = models.BigIntegerField()

    def __str__(self) -> str:
        return f"after user {self.user_id} of {self.feature or 'nothing'}"
