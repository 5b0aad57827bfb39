"""Shadows: a candidate answers a share of live requests again, and no user sees its answers."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aifeature.models.free_text import FreeText
from aifeature.models.job import Job
from aifeature.models.promotion import PROVIDER_LENGTH


class Shadow(models.Model):
    """A candidate that answers a share of a feature's requests after their users' answers."""

    class State(models.TextChoices):
        RUNNING = "running"
        ENDED = "ended"

    feature = models.CharField(max_length=40)
    provider = models.CharField(max_length=PROVIDER_LENGTH)
    version = models.CharField(max_length=16, help_text="The candidate.")
    prompt_hash = models.CharField(max_length=64)
    live_version = models.CharField(max_length=16, help_text="Whose answers it is compared with.")
    percent = models.PositiveSmallIntegerField(help_text="Share of the requests, 1 to 100.")
    daily_budget_usd = models.DecimalField(max_digits=10, decimal_places=2)
    state = models.CharField(max_length=8, choices=State, default=State.RUNNING)
    reason = FreeText()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = FreeText(blank=True, default="")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["feature"], condition=Q(state="running"), name="shadow_one_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(percent__range=(1, 100)) & Q(daily_budget_usd__gt=0),
                name="shadow_is_bounded",
            ),
        )

    def __str__(self) -> str:
        return f"shadow of {self.feature} {self.version}"


class ShadowPair(models.Model):
    """The answer that a user got, the candidate's, and which of the two the judge prefers."""

    class Verdict(models.TextChoices):
        OPEN = "open"
        CANDIDATE = "candidate", "The candidate's is better"
        TIE = "tie"
        LIVE = "live", "The live one's is better"
        UNJUDGED = "unjudged"

    shadow = models.ForeignKey(Shadow, models.PROTECT, related_name="pairs")
    # Without constraints: making them would lock the jobs, and no job is ever deleted.
    job = models.ForeignKey(
        Job, models.PROTECT, related_name="+", db_constraint=False, help_text="The user's."
    )
    shadow_job = models.OneToOneField(
        Job, models.PROTECT, null=True, related_name="+", db_constraint=False
    )
    judge_job = models.OneToOneField(
        Job, models.PROTECT, null=True, related_name="+", db_constraint=False
    )
    second_judge_job = models.OneToOneField(
        *(Job, models.PROTECT),
        null=True,
        related_name="+",
        db_constraint=False,
        help_text="With the answers swapped.",
    )
    verdict = models.CharField(max_length=10, choices=Verdict, default=Verdict.OPEN)
    problem = models.CharField(max_length=80, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    is_blanked = models.BooleanField(
        default=False, help_text="Whether its copies of the request were deleted with the request."
    )

    class Meta:
        constraints = (models.UniqueConstraint(fields=["shadow", "job"], name="shadow_pair_once"),)
        indexes = (
            models.Index(
                fields=["shadow", "created_at"],
                condition=Q(verdict="open"),
                name="shadow_pair_open",
            ),
            models.Index(
                fields=["job"], condition=Q(is_blanked=False), name="shadow_pair_with_content"
            ),
        )

    def __str__(self) -> str:
        return f"{self.shadow_id}: {self.verdict}"
