"""Scheduled ramps of a feature's percentage, and the health that they depend on."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aifeature.models.free_text import FreeText


class Level(models.TextChoices):
    """The level of a number about a feature."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


class HealthReading(models.Model):
    """The latest value of one number about a feature, such as its error rate."""

    feature = models.CharField(max_length=40)
    number = models.CharField(max_length=40, help_text="Such as `errors` or `latency`.")
    level = models.CharField(max_length=8, choices=Level)
    figures = models.JSONField(default=dict, help_text="Value, threshold, window and sample.")
    measured_at = models.DateTimeField(db_default=Now())
    since = models.DateTimeField(db_default=Now(), help_text="When this level began.")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["feature", "number"], name="reading_once"),)

    def __str__(self) -> str:
        return f"{self.feature} {self.number}: {self.level}"


class Ramp(models.Model):
    """A plan to raise a feature's percentage in steps, and how far it has come."""

    class State(models.TextChoices):
        RUNNING = "running"
        STEPPED_BACK = "stepped_back", "Stepped back, waits for a person"
        DONE = "done"
        STOPPED = "stopped"

    feature = models.CharField(max_length=40)
    steps = models.JSONField(help_text="Percentages, rising, such as [5, 10, 25, 100].")
    hours_per_step = models.PositiveSmallIntegerField(help_text="Healthy hours before the next.")
    state = models.CharField(max_length=12, choices=State, default=State.RUNNING)
    step = models.SmallIntegerField(
        default=0, help_text="Index of the current step. -1: back before the first."
    )
    started_from = models.PositiveSmallIntegerField(help_text="The percentage before it.")
    started_stage = models.CharField(max_length=8, help_text="The stage before it.")
    step_started_at = models.DateTimeField(db_default=Now())
    healthy_s = models.FloatField(
        default=0, help_text="Seconds of the current step during which all numbers were green."
    )
    checked_at = models.DateTimeField(db_default=Now(), help_text="When it was last checked.")
    hold_reason = models.TextField(blank=True, default="", help_text="Empty while it goes on.")
    held_since = models.DateTimeField(null=True, blank=True)
    reason = FreeText()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["feature"],
                condition=Q(state__in=["running", "stepped_back"]),
                name="ramp_one_at_a_time",
            ),
        )

    def __str__(self) -> str:
        return f"ramp of {self.feature}: {self.steps}"
