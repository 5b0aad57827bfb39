"""Whether the provider account behind an API key can be used."""

from __future__ import annotations

from django.db import models


class ProviderAccount(models.Model):
    """One row per account that was ever suspected. Changed by `services.provider.account` alone."""

    account = models.CharField(
        max_length=80, primary_key=True, help_text="The provider and a fingerprint of the key."
    )
    stopped_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when it refuses every call. Empty: it is well."
    )
    code = models.CharField(
        "error code",
        max_length=40,
        blank=True,
        default="",
        db_default="",
        help_text="Of the calls.",
    )
    detail = models.TextField(
        blank=True, default="", db_default="", help_text="Status and type of the error."
    )
    failed_probes = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Probes in a row that the account failed."
    )
    probe_until = models.DateTimeField(
        null=True, blank=True, help_text="A probe is under way until then at the latest."
    )
    next_probe_at = models.DateTimeField(null=True, blank=True)
    tried_at = models.DateTimeField(null=True, blank=True, help_text="When a probe ended last.")

    class Meta:
        verbose_name = "provider account"

    def __str__(self) -> str:
        return self.account
