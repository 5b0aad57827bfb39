"""Users who joined a beta, and users who are blocked from a feature."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from aifeature.models.free_text import FreeLine, FreeText


class BetaMember(models.Model):
    """A user who joined the beta of a feature. Leaving deletes the row."""

    feature = models.CharField(max_length=40)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    joined_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["feature", "user"], name="beta_member_once"),
        )

    def __str__(self) -> str:
        return f"#{self.user_id} in the beta of {self.feature}"


class AccessBlock(models.Model):
    """A user may not use a feature, also at stages that admit them. The audit log has each one."""

    feature = models.CharField(max_length=40, blank=True, default="", help_text="Empty: all.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    reason = FreeText(help_text="For operators. The user does not read it.")
    message = FreeLine(
        max_length=300,
        blank=True,
        default="",
        help_text="The sentence that the user reads. Empty: the feature does not exist for them.",
    )
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "block"
        indexes = (models.Index(fields=["user", "feature"], name="block_of_user"),)

    def __str__(self) -> str:
        # The id, not the name: admin's log keeps this text even after the user is erased.
        return f"block of #{self.user_id} from {self.feature or 'all features'}"
