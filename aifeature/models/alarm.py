"""The consequences of a red number, and the releases that ran here."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class NumberAction(models.TextChoices):
    """An action of the check, beside the alert, when a number of a feature turns red."""

    NOTIFY = "notify", "Only notify"
    ROLL_BACK = "roll_back", "Roll the prompt back"
    STOP_RAMP = "stop_ramp", "Stop the ramp"
    TRIP = "trip", "Pull the kill switch"


class NumberRule(models.Model):
    """The action that operators chose for one number of one feature. No row: notify."""

    feature = models.CharField(max_length=40)
    number = models.CharField(max_length=40, help_text="Such as `errors` or `latency`.")
    action = models.CharField(max_length=12, choices=NumberAction, default=NumberAction.NOTIFY)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["feature", "number"], name="number_rule_once"),
        )

    def __str__(self) -> str:
        return f"{self.feature} {self.number}: {self.action}"


class Release(models.Model):
    """A change of the release that runs here. A release that comes back has a row again.

    `services.alarms.releases` adds a row when a process starts with another release than the last
    row's.
    """

    name = models.CharField(max_length=80)
    replaces = models.CharField(
        max_length=80, blank=True, default="", help_text="The release before it. Empty: the first."
    )
    began_at = models.DateTimeField(db_default=Now(), help_text="When its first process started.")

    class Meta:
        indexes = (models.Index(fields=["-began_at"], name="release_newest"),)

    def __str__(self) -> str:
        return self.name
