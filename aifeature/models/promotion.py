"""Evidence for prompts, and the history of what was live. Rows are never changed or deleted."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from aifeature.models.free_text import FreeText

PROVIDER_LENGTH: Final = 120

MOST_DAYS: Final = 366
"""Most days for which evidence is fresh."""


class Evidence(models.Model):
    """The verdict on all that is known of one prompt under the same conditions.

    Each run of an evaluation adds a row. The newest row of a fingerprint counts.
    """

    class Origin(models.TextChoices):
        COMMAND = "command", "python -m evals"
        WEEKLY = "weekly", "Weekly regression run"
        RECORDED = "recorded", "Recorded in the repository"
        LOADED = "loaded", "Loaded from a file"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    feature = models.CharField(max_length=40)
    version = models.CharField(max_length=16)
    provider = models.CharField(
        max_length=PROVIDER_LENGTH, help_text="`anthropic`, `sandbox`, or a provider elsewhere."
    )
    prompt_hash = models.CharField(max_length=64, help_text="Of text, parameters, schema, routes.")
    fingerprint = models.CharField(
        max_length=64, help_text="Of prompt, suite, scorers, judge and provider."
    )
    conditions = models.JSONField(help_text="The parts of the fingerprint, by name.")
    live_hash = models.CharField(
        max_length=64,
        blank=True,
        help_text="Of the prompt that was live, which it was compared with; empty: none was.",
    )
    passed = models.BooleanField()
    verdict = models.JSONField(help_text="The decision, with its figures and reasons.")
    outcomes = models.JSONField(
        help_text="By case: its content's hash, its group, and each repeat with its call."
    )
    runs = models.JSONField(help_text="Ids of the runs that it is made of.")
    answered_by = models.JSONField(
        help_text="The models that answered, as the provider named them."
    )
    account = models.CharField(max_length=80, blank=True, help_text="Provider and key.")
    origin = models.CharField(max_length=8, choices=Origin, default=Origin.COMMAND)
    measured_at = models.DateTimeField(help_text="The start of the newest run.")
    fresh_until = models.DateTimeField(
        null=True, help_text="Until then it permits an activation; empty: always."
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "evidence"
        indexes = (
            models.Index(fields=["feature", "prompt_hash", "-created_at"], name="evidence_newest"),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(passed=False)
                | Q(verdict__has_key="decision", verdict__decision="pass"),
                name="evidence_passed_by_its_verdict",
            ),
            models.CheckConstraint(
                condition=Q(fresh_until__isnull=False) | Q(provider="sandbox"),
                name="evidence_of_a_model_ages",
            ),
            models.CheckConstraint(
                condition=Q(fresh_until__isnull=True)
                | Q(fresh_until__lte=F("measured_at") + timedelta(days=MOST_DAYS)),
                name="evidence_ages_within_a_year",
            ),
        )

    def __str__(self) -> str:
        return f"{self.feature} {self.version} {self.prompt_hash[:8]}"


class Activation(models.Model):
    """A prompt became live, or an override of the gate was requested or ended.

    The newest row that is not over decides what is live (`aif_live_prompt`).
    """

    class Kind(models.TextChoices):
        ACTIVATED = "activated"
        DEPLOYED = "deployed", "Activated again after a deploy changed it"
        ROLLED_BACK = "rolled_back"
        REQUESTED = "requested", "Override requested"
        OVERRIDDEN = "overridden", "Activated without evidence"
        ENDED = "ended", "Override ended"

    feature = models.CharField(max_length=40)
    provider = models.CharField(max_length=PROVIDER_LENGTH)
    version = models.CharField(max_length=16)
    prompt_hash = models.CharField(max_length=64)
    kind = models.CharField(max_length=12, choices=Kind)
    replaces_hash = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="Of the prompt that was live before. The database sets it.",
    )
    evidence = models.ForeignKey(
        Evidence, models.PROTECT, null=True, blank=True, related_name="activations"
    )
    request = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="answers",
        help_text="Of an approved override: its request. Of an end: the override.",
    )
    hours = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="How long a requested override lasts."
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    check_name = models.CharField(
        max_length=80, blank=True, help_text="The check or command that made it, if not a person."
    )
    reason = FreeText()
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-id",)
        indexes = (models.Index(fields=["feature", "-id"], name="activation_newest"),)

    def __str__(self) -> str:
        return f"{self.feature} {self.version} {self.kind}"
