"""Claimed ticks of the schedule, so that a tick sent twice runs once."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class TickSlot(models.Model):
    """A task's time slot. `services.ticks` claims it by inserting the row."""

    task = models.CharField(max_length=100)
    slot = models.DateTimeField(help_text="When the slot began.")
    claimed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (models.UniqueConstraint(fields=["task", "slot"], name="tick_slot_once"),)

    def __str__(self) -> str:
        return f"{self.task} {self.slot:%Y-%m-%d %H:%M}"
