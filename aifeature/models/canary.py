"""Canaries: a candidate prompt for a share of users, compared with the live one."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aifeature.models.free_text import FreeText
from aifeature.models.promotion import PROVIDER_LENGTH, Evidence

OPEN: Final = ("running", "held")
"""The states in which a candidate is served."""


class Canary(models.Model):
    """A candidate version for some users. Its bucket is its own, so that each one has other users.

    Jobs name the step and their arm in `options`: `{"canary": {"step": 7, "arm": "candidate"}}`.
    """

    class State(models.TextChoices):
        RUNNING = "running"
        HELD = "held", "Held: it stays at its share"
        ROLLED_BACK = "rolled_back", "Rolled back by its figures"
        PROMOTED = "promoted"
        STOPPED = "stopped"

    feature = models.CharField(max_length=40)
    provider = models.CharField(max_length=PROVIDER_LENGTH)
    version = models.CharField(max_length=16, help_text="The candidate.")
    prompt_hash = models.CharField(max_length=64)
    live_version = models.CharField(max_length=16, help_text="What it is compared with.")
    live_hash = models.CharField(max_length=64)
    evidence = models.ForeignKey(Evidence, models.PROTECT, related_name="+")
    state = models.CharField(max_length=12, choices=State, default=State.RUNNING)
    promotes = models.BooleanField(
        default=True, help_text="Whether it goes live by itself when its figures permit it."
    )
    latency_limit_ms = models.PositiveIntegerField(help_text="A slower answer counts as slow.")
    cost_limit_micro = models.BigIntegerField(
        null=True, help_text="A dearer answer counts as dear. Empty: too little is known."
    )
    hold_reason = FreeText(blank=True, default="")
    figures = models.JSONField(null=True, blank=True, help_text="Of the latest check.")
    checked_at = models.DateTimeField(null=True, blank=True)
    watched_s = models.FloatField(
        default=0, db_default=0, help_text="Seconds since its start during which the check ran."
    )
    reason = FreeText()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = FreeText(blank=True, default="")

    class Meta:
        verbose_name_plural = "canaries"
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["feature", "provider"],
                condition=Q(state__in=OPEN),
                name="canary_one_at_a_time",
            ),
        )

    def __str__(self) -> str:
        return f"canary of {self.feature} {self.version}"


class CanaryStep(models.Model):
    """A share of a canary. Users are counted again in each step."""

    canary = models.ForeignKey(Canary, models.PROTECT, related_name="steps")
    percent = models.PositiveSmallIntegerField(help_text="Share of the candidate, 1 to 50.")
    started_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(percent__range=(1, 50)), name="canary_step_at_most_half"
            ),
        )

    def __str__(self) -> str:
        return f"{self.canary}: {self.percent} %"
