"""Sums of what happened, from which the six numbers are computed, and audited answers."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aifeature.models.free_text import FreeText
from aifeature.models.job import Job

SLOT_S: Final = 300
HOUR_S: Final = 3600


def _buckets() -> ArrayField[Any, Any]:
    return ArrayField(models.IntegerField(), default=list, db_default=[])


class NumberSlot(models.Model):
    """Sums of one feature, prompt version, model and stage over five minutes or one hour.

    `services.numbers.rollup` computes a row again from its sources, so that nothing is counted
    twice. Version and model are empty where none is known, as for a request that failed before its
    first call.
    """

    span_s = models.PositiveIntegerField(help_text="300 or 3600.")
    starts_at = models.DateTimeField()
    feature = models.CharField(max_length=40)
    prompt_version = models.CharField(max_length=16, blank=True, default="", db_default="")
    model = models.CharField(max_length=80, blank=True, default="", db_default="")
    stage = models.CharField(
        max_length=8, help_text="Of the feature, when the request was submitted."
    )

    # Of the jobs of users that ended in it.
    ended = models.PositiveIntegerField(
        default=0, db_default=0, help_text="With a result, or with an error that counts."
    )
    failed = models.PositiveIntegerField(default=0, db_default=0)
    slow = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Of those with a latency, longer than 10 s."
    )
    degraded = models.PositiveIntegerField(default=0, db_default=0)
    fallbacks = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Answered by another model than the route's first."
    )
    others = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="Ended by a person, a limit or a switch: in no rate.",
    )
    latency = _buckets()  # milliseconds by bucket of `policies.buckets`
    wait = _buckets()
    ttft = _buckets()

    # Of the calls that began in it, and that the budgets of features pay.
    calls = models.PositiveIntegerField(default=0, db_default=0)
    refusals = models.PositiveIntegerField(default=0, db_default=0)
    input_tokens = models.BigIntegerField(default=0, db_default=0)
    output_tokens = models.BigIntegerField(default=0, db_default=0)
    cache_read_tokens = models.BigIntegerField(default=0, db_default=0)
    cache_write_tokens = models.BigIntegerField(default=0, db_default=0)
    spend_micro = models.BigIntegerField(default=0, db_default=0)
    cache_saved_micro = models.BigIntegerField(default=0, db_default=0)

    # Of the answers that were rated for the first time in it, and of the guards.
    votes = models.PositiveIntegerField(default=0, db_default=0)
    votes_down = models.PositiveIntegerField(default=0, db_default=0)
    guard_hits = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["span_s", "starts_at", "feature", "prompt_version", "model", "stage"],
                name="number_slot_once",
            ),
        )
        indexes = (
            models.Index(fields=["feature", "span_s", "starts_at"], name="number_slot_of_feature"),
        )

    def __str__(self) -> str:
        return f"{self.feature} {self.starts_at:%Y-%m-%d %H:%M}"


class SummedTime(models.Model):
    """The one row with the time whose sums are final: from `begins` up to `ends`."""

    ONLY: ClassVar[int] = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY)
    begins = models.DateTimeField()
    ends = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.begins:%Y-%m-%d %H:%M} to {self.ends:%Y-%m-%d %H:%M}"


class UserCostDay(models.Model):
    """Users of a feature with a call in a UTC day, and what their calls cost."""

    feature = models.CharField(max_length=40)
    day = models.DateField()
    users = models.PositiveIntegerField()
    spend_micro = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["feature", "day"], name="user_cost_day_once"),
        )

    def __str__(self) -> str:
        return f"{self.feature} {self.day}"


class AuditedAnswer(models.Model):
    """A random answer that a person reads and labels, to estimate the hallucination rate."""

    class Label(models.TextChoices):
        WAITING = "waiting", "Not read yet"
        GROUNDED = "grounded"
        HALLUCINATED = "hallucinated"
        UNCLEAR = "unclear"

    job = models.OneToOneField(Job, models.PROTECT, related_name="audit")
    feature = models.CharField(max_length=40)
    week = models.DateField(help_text="The Monday of the sample, in UTC.")
    sample = models.PositiveSmallIntegerField(
        help_text="1: the weekly sample. 2: more, because the first one was bad."
    )
    label = models.CharField(max_length=12, choices=Label, default=Label.WAITING)
    labelled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    labelled_at = models.DateTimeField(null=True, blank=True)
    note = FreeText(blank=True, default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(label="waiting", labelled_at__isnull=True)
                | (~Q(label="waiting") & Q(labelled_at__isnull=False)),
                name="audit_labelled_at_a_time",
            ),
        )
        indexes = (models.Index(fields=["feature", "-week"], name="audit_of_week"),)

    def __str__(self) -> str:
        return f"{self.feature} {self.week}: {self.label}"
