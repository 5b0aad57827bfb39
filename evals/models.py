"""Runs of evaluations: what was compared, each output with its score, and the verdict."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, Final

from django.db import models
from django.db.models import ExpressionWrapper, Q
from django.db.models.functions import Coalesce, Now

ABANDONED_AFTER: Final = timedelta(seconds=60)
"""Age of the last sign of life after which a running run is abandoned: no command drives it."""


class Runs(models.QuerySet["Run"]):
    """Runs of evaluations."""

    def with_driver(self) -> models.QuerySet[Any]:
        """Add `is_abandoned`: whether no command has driven a running run for a minute."""
        is_abandoned = Q(state=Run.State.RUNNING, last_seen__lt=Now() - ABANDONED_AFTER)
        return self.alias(last_seen=Coalesce("driven_at", "created_at")).annotate(
            is_abandoned=ExpressionWrapper(is_abandoned, output_field=models.BooleanField())
        )


class Run(models.Model):
    """One evaluation of a feature, with all that its report needs."""

    class State(models.TextChoices):
        RUNNING = "running"
        """Also after its process was killed, until it is resumed."""
        ENDED = "ended"
        STOPPED = "stopped"
        """It ran out of its budget, or of that of the day."""

    class Kind(models.TextChoices):
        COMPARE = "compare", "Candidate against baseline"
        ALONE = "alone", "Candidate against its floor"
        SAME = "aa", "The same prompt twice"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    feature = models.CharField(max_length=40)
    kind = models.CharField(max_length=8, choices=Kind)
    state = models.CharField(max_length=8, choices=State, default=State.RUNNING)
    note = models.TextField(blank=True, default="", help_text="Why it stopped.")

    cases = models.JSONField(help_text="The cases and tags as they were when it started.")
    suite_hash = models.CharField(max_length=64)
    arms = models.JSONField(
        help_text="By arm: version, hash and texts of the prompt; the run whose outputs it took."
    )
    judge = models.JSONField(
        null=True, help_text="Version, hash and models of the judge; empty without one."
    )
    scorer_hash = models.CharField(max_length=64, help_text="Of the code of the scorers.")
    guard_hash = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="Of the policies of the guards; empty before there were any.",
    )
    provider = models.CharField(
        max_length=120, help_text="`anthropic`, `sandbox`, or a provider elsewhere."
    )
    repeats = models.PositiveSmallIntegerField()
    estimate_micro = models.BigIntegerField(help_text="Micro-dollars, estimated before it started.")
    cap_micro = models.BigIntegerField(help_text="Micro-dollars that it may spend.")

    created_at = models.DateTimeField(db_default=Now())
    driven_at = models.DateTimeField(
        null=True, help_text="When a command last worked on it, by the clock of the database."
    )
    ended_at = models.DateTimeField(null=True)
    outputs_deleted_at = models.DateTimeField(
        null=True, help_text="When its retention ended. Scores, verdict and costs stay."
    )
    verdict = models.JSONField(null=True)

    objects = Runs.as_manager()

    class Meta:
        indexes = (models.Index(fields=["feature", "-created_at"], name="run_newest"),)
        constraints = (
            models.CheckConstraint(
                condition=Q(state="ended", verdict__isnull=False, ended_at__isnull=False)
                | ~Q(state="ended"),
                name="run_ended_has_a_verdict",
            ),
        )

    def __str__(self) -> str:
        return f"{self.feature} {self.id}"


class Sample(models.Model):
    """One repeat of one case with one prompt: its job, its output and its score."""

    class State(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        """Its job is under way, or its judge's."""
        SCORED = "scored"
        UNSCORED = "unscored"
        """A fault of the machinery: neither passed nor failed."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="samples")
    arm = models.CharField(max_length=16, help_text="`candidate`, `baseline`, `fresh`, `plain`.")
    case = models.CharField(max_length=60)
    repeat = models.PositiveSmallIntegerField(help_text="1, 2, ... within arm and case.")
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)

    tries = models.PositiveSmallIntegerField(
        default=0, help_text="How often a fault of the machinery, or the budget, stopped it."
    )
    job = models.UUIDField(null=True, unique=True)
    judge_job = models.UUIDField(null=True, unique=True)
    output = models.JSONField(null=True)
    parts = models.JSONField(
        default=list, help_text="The result of each scorer: scorer, passed, note."
    )
    judgement = models.JSONField(
        null=True, help_text="The judge's score and reason for each criterion."
    )
    passed = models.BooleanField(null=True)
    score = models.FloatField(null=True, help_text="0 to 1.")
    repaired = models.BooleanField(
        null=True,
        help_text="Its first answer was invalid, so that a further call was made; empty: unknown.",
    )
    problem = models.TextField(
        blank=True, default="", help_text="Why there is no output, or no score."
    )

    model = models.CharField(max_length=80, blank=True, default="")
    first_model = models.CharField(
        max_length=80,
        blank=True,
        default="",
        db_default="",
        help_text="That gave the first answer, valid or not; empty: unknown.",
    )
    judge_model = models.CharField(
        max_length=80, blank=True, default="", db_default="", help_text="That gave the judgement."
    )
    cost_micro = models.BigIntegerField(default=0, help_text="Of all its calls, and the judge's.")
    latency_ms = models.IntegerField(null=True)
    attempts = models.JSONField(default=list, help_text="Ids of its calls in the ledger.")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["run", "arm", "case", "repeat"], name="sample_once"),
            models.CheckConstraint(
                condition=Q(state="scored", passed__isnull=False, score__isnull=False)
                | ~Q(state="scored"),
                name="sample_scored_has_a_score",
            ),
        )
        indexes = (
            models.Index(
                fields=["run"], condition=Q(state__in=["pending", "running"]), name="sample_open"
            ),
        )

    def __str__(self) -> str:
        return f"{self.case} {self.arm} {self.repeat}"


class WeeklyRun(models.Model):
    """The weekly evaluation of one live prompt, against the evidence with which it became live."""

    class State(models.TextChoices):
        OPEN = "open", "Under way"
        CONFIRMING = "confirming", "A fresh run confirms an alarm"
        PASSED = "passed"
        UNCONFIRMED = "unconfirmed", "Alarm not confirmed"
        CONFIRMED = "confirmed", "Regression confirmed"
        OUTDATED = "outdated", "Another prompt became live"
        INCOMPLETE = "incomplete", "No result"

    UNDER_WAY: Final = (State.OPEN, State.CONFIRMING)

    feature = models.CharField(max_length=40)
    slot = models.DateField(null=True, help_text="The day of the schedule; empty: by a command.")
    state = models.CharField(max_length=12, choices=State, default=State.OPEN)
    version = models.CharField(max_length=16, help_text="Of the prompt that was live.")
    prompt_hash = models.CharField(max_length=64)

    run = models.ForeignKey(Run, models.PROTECT, null=True, related_name="+")
    confirmation = models.ForeignKey(
        Run, models.PROTECT, null=True, related_name="+", help_text="The fresh run."
    )
    verdict = models.JSONField(null=True, help_text="On the first run.")
    confirmation_verdict = models.JSONField(null=True)

    baseline_evidence = models.UUIDField(
        null=True, help_text="The evidence of the activation, if the run compares with it."
    )
    baseline_run = models.ForeignKey(
        Run, models.PROTECT, null=True, related_name="+", help_text="A baseline measured anew."
    )
    baseline_note = models.TextField(blank=True, help_text="Which baseline, and why.")
    is_baseline = models.BooleanField(
        default=False, help_text="Whether later runs compare with its outcomes."
    )
    evidence = models.UUIDField(null=True, help_text="The evidence that it left.")
    answered_by = models.JSONField(
        default=list, help_text="The models that answered, as the provider named them."
    )
    marks = models.JSONField(
        default=list, help_text="What changed since the run before: kind and text of each."
    )
    action = models.CharField(max_length=12, blank=True, help_text="After a confirmed regression.")
    note = models.TextField(blank=True, help_text="The outcome in words.")
    errors = models.PositiveSmallIntegerField(default=0, help_text="How often its driver failed.")

    created_at = models.DateTimeField(db_default=Now())
    driven_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = "regression run"
        indexes = (models.Index(fields=["feature", "-id"], name="weekly_newest"),)
        constraints = (
            models.UniqueConstraint(fields=["feature", "slot"], name="weekly_once_a_slot"),
            models.UniqueConstraint(
                fields=["feature"],
                condition=Q(state__in=["open", "confirming"]),
                name="weekly_one_at_a_time",
            ),
        )

    def __str__(self) -> str:
        return f"{self.feature} {self.version} {self.slot or self.created_at:%Y-%m-%d}"

    @property
    def is_under_way(self) -> bool:
        return self.state in self.UNDER_WAY

    @property
    def current(self) -> Run | None:
        """The run that is driven now."""
        return self.confirmation if self.state == self.State.CONFIRMING else self.run
