"""Rate overrides for one user or the members of a group."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aifeature.models.free_text import FreeText


class RateOverride(models.Model):
    """Rates that replace the feature's. An empty field keeps the feature's rate.

    A user's own override precedes those of their groups; of several groups, the most generous
    applies. An override made by a check throttles a user until it expires.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, blank=True, related_name="+"
    )
    group = models.ForeignKey("auth.Group", models.CASCADE, null=True, blank=True, related_name="+")
    feature = models.CharField(max_length=40, blank=True, default="", help_text="Empty: all.")
    requests_per_minute = models.DecimalField(null=True, blank=True, max_digits=8, decimal_places=2)
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    in_flight = models.PositiveSmallIntegerField("calls at once", null=True, blank=True)
    reason = FreeText()
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    check_name = models.CharField(
        max_length=80, blank=True, default="", help_text="The check that made it, if not a person."
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(user__isnull=True) ^ Q(group__isnull=True),
                name="override_of_a_user_or_a_group",
            ),
            models.CheckConstraint(
                condition=(Q(requests_per_minute__isnull=True) | Q(requests_per_minute__gt=0))
                & (Q(tokens_per_minute__isnull=True) | Q(tokens_per_minute__gt=0))
                & (Q(in_flight__isnull=True) | Q(in_flight__gt=0)),
                name="override_rates_positive",
            ),
        )

    def __str__(self) -> str:
        # The id, not the name: admin's log keeps this text even after the user is erased.
        whose = f"#{self.user_id}" if self.user_id else self.group
        return f"rates of {whose} for {self.feature or 'all features'}"
