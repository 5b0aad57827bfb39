"""Usability of the provider account behind an API key."""

from __future__ import annotations

from django.db import models


class ProviderAccount(models.Model):
    """One row per account that was ever suspected. Only `services.provider.account` writes it."""

    account = models.CharField(
        max_length=80, primary_key=True, help_text="The provider and a fingerprint of the key."
    )
    stopped_at = models.DateTimeField(
        null=True, blank=True, help_text="When it began to refuse every call. Empty: it works."
    )
    code = models.CharField(
        "error code",
        max_length=40,
        blank=True,
        default="",
        db_default="",
        help_text="Error code of the refused calls.",
    )
    detail = models.TextField(
        blank=True, default="", db_default="", help_text="Status and type of the error."
    )
    failed_probes = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Consecutive failed probes."
    )
    probe_until = models.DateTimeField(
        null=True, blank=True, help_text="Latest end of the probe in flight."
    )
    next_probe_at = models.DateTimeField(null=True, blank=True)
    tried_at = models.DateTimeField(null=True, blank=True, help_text="When the last probe ended.")

    class Meta:
        verbose_name = "provider account"

    def __str__(self) -> str:
        return self.account
