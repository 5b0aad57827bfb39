"""Input of the cost-spike check: spend by the hour, and announced launches."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from aifeature.models.free_text import FreeText
from aifeature.models.ledger import SpendWindow


class SpendHour(models.Model):
    """Spend and number of calls that started in one UTC hour, summed from the ledger.

    Scope and key are as in `SpendWindow`, but a user's row counts spend, not charges. The check
    uses `spend_micro` minus `phantom_micro`.
    """

    scope = models.CharField(max_length=8, choices=SpendWindow.Scope)
    key = models.CharField(max_length=80)
    hour = models.DateTimeField()
    spend_micro = models.BigIntegerField()
    phantom_micro = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Part of the spend that is an upper limit: calls in flight, and calls of unknown"
        " cost unless their user ended them.",
    )
    calls = models.PositiveIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["hour", "scope", "key"], name="spend_hour_once"),
        )
        indexes = (models.Index(fields=["scope", "key", "hour"], name="spend_hour_of_key"),)

    def __str__(self) -> str:
        return f"{self.scope} {self.key} {self.hour:%Y-%m-%d %H}"


class Launch(models.Model):
    """Announced traffic. It raises the baseline of the cost-spike check for its hours."""

    feature = models.CharField(max_length=40, help_text="A feature, or `_everything`.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    factor = models.DecimalField(
        max_digits=6, decimal_places=2, help_text="Expected multiple of the usual spend."
    )
    note = FreeText(help_text="What is launched.")
    announced_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    announced_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "launches"
        ordering = ("-starts_at",)
        constraints = (
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="launch_lasts"),
            models.CheckConstraint(condition=Q(factor__gte=1), name="launch_raises"),
        )

    def __str__(self) -> str:
        return f"{self.feature}: {self.note}"
