"""Sessions that users can see and end, and counts of tries to sign in (`sql/sign_in.sql`)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class SignIn(models.Model):
    """A session of a user. Django's own session table does not store the user."""

    session_key = models.CharField(max_length=40, primary_key=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="sign_ins")
    browser = models.CharField(
        max_length=60, blank=True, default="", db_default="", help_text="Such as Firefox on Linux."
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.browser or 'a browser'} of user {self.user_id}"


class SignInCount(models.Model):
    """Tries to sign in within one window, by a digest of a name, an address, or both."""

    key = models.CharField(max_length=64, primary_key=True)
    tries = models.IntegerField(default=0, db_default=0)
    until = models.DateTimeField(db_index=True, help_text="When the count restarts at zero.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.tries} tries until {self.until}"
