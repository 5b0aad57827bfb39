"""Where alerts are sent, each delivery, and silences."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aifeature.models.alert import Alert
from aifeature.models.free_text import FreeLine, FreeText


class AlertChannel(models.Model):
    """An address for alerts. It may hold a token, so that it is stored encrypted.

    One process at a time uses a channel, so that its messages stay in order.
    """

    class Kind(models.TextChoices):
        WEBHOOK = "webhook", "Webhook (signed)"
        APPRISE = "apprise", "E-mail, Slack, pager and others (Apprise)"

    name = FreeLine(max_length=60, unique=True)
    kind = models.CharField(max_length=8, choices=Kind)
    address = models.TextField(help_text="Encrypted with the secret key.")
    secret = models.TextField(
        blank=True, default="", help_text="Of a webhook, to sign its requests. Encrypted."
    )
    shown = models.CharField(max_length=200, help_text="The address without its secrets.")
    is_enabled = models.BooleanField(default=True, db_default=True)
    is_escalation = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Only alerts that nobody acknowledged in time go here.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())

    next_at = models.DateTimeField(
        db_default=Now(), help_text="Before this time it is in use, or waits after a failure."
    )
    failing_since = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="Since the last success.")
    problem = models.CharField(max_length=300, blank=True, default="")
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When it last worked.")

    class Meta:
        ordering = ("name",)
        permissions = (("send_test_alert", "Can send a test alert"),)

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """One message to one channel: the outbox, retried until it is sent or given up."""

    class Event(models.TextChoices):
        BEGIN = "begin"
        END = "end"
        ESCALATION = "escalation"
        SUMMARY = "summary"
        TEST = "test"

    class State(models.TextChoices):
        WAITING = "waiting"
        SILENCED = "silenced"  # until the silence of its alert ends
        SENT = "sent"
        GROUPED = "grouped", "In a summary"
        SKIPPED = "skipped"
        GIVEN_UP = "given_up", "Given up"

    message_id = models.UUIDField(
        default=uuid4, help_text="Of each try: a receiver finds repeated messages by it."
    )
    channel = models.ForeignKey(AlertChannel, models.CASCADE, related_name="deliveries")
    alert = models.ForeignKey(Alert, models.CASCADE, null=True, related_name="deliveries")
    event = models.CharField(max_length=12, choices=Event)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    carried_by = models.ForeignKey(
        "self",
        models.CASCADE,
        null=True,
        related_name="carried",
        help_text="The summary that names this alert.",
    )
    tries = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(db_default=Now(), help_text="Earliest time of the next try.")
    problem = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["channel", "alert", "event"],
                condition=Q(alert__isnull=False),
                name="delivery_once",
            ),
        )
        indexes = (
            models.Index(
                fields=["state", "next_at"],
                condition=Q(state__in=["waiting", "silenced"]),
                name="delivery_open",
            ),
        )

    def __str__(self) -> str:
        return f"{self.event} to {self.channel_id}"


class Silence(models.Model):
    """A time in which alerts of one kind and subject are opened and shown, but not sent."""

    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=120)
    until = models.DateTimeField()
    reason = FreeText()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=["kind", "subject", "-until"], name="silence_of_alert"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} until {self.until:%Y-%m-%d %H:%M}"
