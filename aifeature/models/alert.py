"""Alerts for on-call, and the last runs of the checks that raise them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Alert(models.Model):
    """A problem. On-call is notified when it begins and when it ends.

    The row is the outbox: `services.alerting.alerts.notify` sends it even if its author died.
    """

    kind = models.CharField(max_length=40, help_text="Names its runbook.")
    subject = models.CharField(max_length=120, help_text="The feature, model, user or window.")
    summary = models.TextField()
    figures = models.JSONField(default=dict, db_default={})
    opened_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now(), help_text="When a check last found it.")
    closed_at = models.DateTimeField(null=True, blank=True)
    notified_at = models.DateTimeField(null=True, blank=True, db_column="told_at")
    end_notified_at = models.DateTimeField(null=True, blank=True, db_column="end_told_at")

    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    escalated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-opened_at", "-id")
        permissions = (("handle_alert", "Can acknowledge, assign and silence alerts"),)
        constraints = (
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(closed_at=None), name="alert_open_once"
            ),
        )
        indexes = (
            models.Index(fields=["-opened_at"], name="alert_newest"),
            models.Index(
                fields=["opened_at"],
                condition=Q(notified_at=None) | Q(closed_at__isnull=False, end_notified_at=None),
                name="alert_to_tell",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}"


class CheckRun(models.Model):
    """The last run of a scheduled check. One row per check."""

    name = models.CharField(max_length=80, primary_key=True)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    completed_at = models.DateTimeField(
        null=True, blank=True, help_text="When it last completed, with or without findings."
    )
    ok = models.BooleanField(help_text="Whether it completed and found nothing.")
    result = models.TextField(help_text="A sentence.")
    figures = models.JSONField(default=dict, db_default={})

    class Meta:
        verbose_name = "check"

    def __str__(self) -> str:
        return self.name
