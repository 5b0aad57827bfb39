"""Operator settings of a provider's model, for all features."""

from __future__ import annotations

from django.db import models

from aifeature.models.free_text import FreeText


class Forced(models.TextChoices):
    AUTOMATIC = "", "Automatic"
    OPEN = "open", "Forced open: nothing is sent"
    CLOSED = "closed", "Forced closed: everything is sent"


class ModelControl(models.Model):
    """One row per model whose breaker was ever forced, written by `services.controls.breakers`."""

    model = models.CharField(max_length=80, primary_key=True)
    forced = models.CharField(
        max_length=8, choices=Forced, blank=True, default=Forced.AUTOMATIC, db_default=""
    )
    reason = FreeText(blank=True, default="", db_default="")
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "model"
        permissions = (("force_breaker", "Can force a circuit breaker"),)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(forced__in=Forced.values), name="breaker_force_is_known"
            ),
        )

    def __str__(self) -> str:
        return self.model
