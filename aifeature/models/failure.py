"""Requests that ended with an error page or a server error."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class WebFailure(models.Model):
    """A failed request, under the reference shown to its user. Holds no personal data."""

    reference = models.CharField(max_length=12, primary_key=True)
    at = models.DateTimeField(db_default=Now(), db_index=True)
    status = models.SmallIntegerField(help_text="HTTP status of the response.")
    method = models.CharField(max_length=8, blank=True, default="", db_default="")
    place = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="URL pattern, without ids. Empty: no pattern matched.",
    )
    code = models.CharField(
        max_length=80,
        blank=True,
        default="",
        db_default="",
        help_text="Code of the refusal, or type of the exception.",
    )
    where = models.TextField(
        blank=True, default="", db_default="", help_text="Frames of the exception's traceback."
    )

    class Meta:
        ordering = ("-at",)
        verbose_name = "web failure"

    def __str__(self) -> str:
        return self.reference
