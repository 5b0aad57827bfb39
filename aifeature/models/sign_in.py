"""Browsers in which somebody is signed in, so that people can see and end their sessions."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class SignIn(models.Model):
    """One session of one user. Django's own table of sessions does not name the user."""

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
