"""The mark of synthetic data in the local stack."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class DemoData(models.Model):
    """The one row of a database with synthetic data. Every page states it while it exists."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    loaded_at = models.DateTimeField(db_default=Now())
    ended_loading_at = models.DateTimeField(null=True, help_text="Empty: loading broke off.")
    facts = models.JSONField(default=dict, help_text="Rows by table, and seconds.")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"synthetic data of {self.loaded_at:%Y-%m-%d}"
