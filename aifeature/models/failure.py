"""Requests that were answered with an error page or a server fault."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class WebFailure(models.Model):
    """One of them, under the reference that its user was shown. It holds nothing of a person."""

    reference = models.CharField(max_length=12, primary_key=True)
    at = models.DateTimeField(db_default=Now(), db_index=True)
    status = models.SmallIntegerField(help_text="HTTP status of the answer.")
    method = models.CharField(max_length=8, blank=True, default="", db_default="")
    place = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="The pattern of the address, without ids. Empty: no page has it.",
    )
    code = models.CharField(
        max_length=80,
        blank=True,
        default="",
        db_default="",
        help_text="Why: the code of a refusal, or the type of an exception.",
    )
    where = models.TextField(
        blank=True, default="", db_default="", help_text="Frames of the exception's traceback."
    )

    class Meta:
        ordering = ("-at",)
        verbose_name = "web failure"

    def __str__(self) -> str:
        return self.reference
