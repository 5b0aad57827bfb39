"""Which ticks of the schedule were taken, so that one that is sent twice is run once."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class TickSlot(models.Model):
    """A task's slot of time, taken by whoever inserted it. Rows are claimed by `services.ticks`."""

    task = models.CharField(max_length=100)
    slot = models.DateTimeField(help_text="When the slot began.")
    claimed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (models.UniqueConstraint(fields=["task", "slot"], name="tick_slot_once"),)

    def __str__(self) -> str:
        return f"{self.task} {self.slot:%Y-%m-%d %H:%M}"
