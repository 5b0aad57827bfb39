"""The job: one request of one user, and the outbox row for its delivery to a worker."""

from __future__ import annotations

import uuid
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from aifeature.models.free_text import FreeLine


class Status(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    NEEDS_APPROVAL = "needs_approval", "Needs approval"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


class CancelledBy(models.TextChoices):
    """Cause that ended a job before its answer. Only the user's own cancellation is charged."""

    USER = "user"
    STAFF = "staff"
    SWITCH = "switch"
    DEADLINE = "deadline"
    ERASURE = "erasure"
    ACCOUNT = "account", "Account closed"


class Origin(models.TextChoices):
    """The source of a job. Only jobs of users are charged and counted in figures."""

    USER = "user"
    EVAL = "eval", "Evaluation"
    SHADOW = "shadow", "Shadow"
    """A candidate's second answer to a user's request, or its judgement."""


EVALUATIONS_ACCOUNT: Final = "aifeature-evaluations"
"""The account that owns the jobs of evaluations and shadows. It cannot sign in."""


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.REJECTED})


class Jobs(models.QuerySet["Job"]):
    """Jobs, of users or of all origins. Each figure for operators chooses one of the two."""

    def of_users(self) -> Jobs:
        """Return the jobs that users submitted, as for all figures about users."""
        return self.filter(origin=Origin.USER)

    def of_all_origins(self) -> Jobs:
        """Return all jobs, as for figures about machines and the money of the whole."""
        return self.all()


class Job(models.Model):
    """One request of one user. Its state changes only by SQL functions.

    The trigger in `aifeature/sql/guards.sql` refuses every change that it does not list.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="ai_jobs")
    feature = models.CharField(max_length=40)
    origin = models.CharField(
        max_length=8,
        choices=Origin,
        default=Origin.USER,
        db_default="user",
        help_text="A user, an evaluation or a shadow.",
    )
    options = models.JSONField(
        null=True,
        help_text="Of an evaluation: the prompt version, and what makes a repeat unique. Of a user:"
        " what the guards of its input decided, and its step and arm in a canary.",
    )
    status = models.CharField(max_length=16, choices=Status, default=Status.QUEUED)

    input = models.JSONField(null=True, help_text="Blanked when its retention ends.")
    result = models.JSONField(null=True)
    partial_text = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="Part of the answer shown to the user before they cancelled.",
    )
    wait_reason = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="Why it waits, or waited before its current run. Empty once it has ended.",
    )
    error_code = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="Why it failed."
    )
    error_message = models.TextField(
        blank=True, default="", db_default="", help_text="The sentence shown to the user."
    )

    requeued_from = models.ForeignKey(
        "self", models.PROTECT, null=True, related_name="requeued", db_index=False
    )  # indexed by the unique constraint below

    idempotency_key = models.CharField(max_length=200, null=True)  # noqa: DJ001 (NULLs are distinct)
    request_digest = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="HMAC of feature and body."
    )

    epoch = models.IntegerField(default=0, db_default=0, help_text="Fencing token of each claim.")
    tries = models.SmallIntegerField(
        default=0, db_default=0, help_text="Runs that ended in a failure worth retrying."
    )
    attempts = models.SmallIntegerField(
        default=0, db_default=0, help_text="Provider calls made, of every purpose."
    )
    worker = models.CharField(max_length=200, blank=True, default="", db_default="")

    created_at = models.DateTimeField(db_default=Now())
    run_at = models.DateTimeField(db_default=Now(), help_text="Earliest time of a claim.")
    deadline_at = models.DateTimeField(help_text="When the job fails if still open.")
    published_at = models.DateTimeField(
        null=True, help_text="When last sent to the broker; empty while it waits for its turn."
    )
    started_at = models.DateTimeField(null=True, help_text="When it was first claimed.")
    lease_until = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    content_blanked_at = models.DateTimeField(
        null=True, help_text="When input, result and the content of its calls were deleted."
    )
    cancel_requested_at = models.DateTimeField(null=True)
    cancelled_by = models.CharField(
        max_length=8, choices=CancelledBy, blank=True, default="", db_default=""
    )

    # Of the accepted attempt; zero while there is none.
    model = models.CharField(max_length=80, blank=True, default="", db_default="")
    prompt_version = models.CharField(max_length=16, blank=True, default="", db_default="")
    input_tokens = models.IntegerField(default=0, db_default=0)
    output_tokens = models.IntegerField(default=0, db_default=0)
    cache_read_tokens = models.IntegerField(default=0, db_default=0)
    cache_write_tokens = models.IntegerField(default=0, db_default=0)
    charge_micro = models.BigIntegerField(
        default=0, db_default=0, help_text="Micro-dollars charged to the user, once."
    )
    degraded = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The result is the feature's plain answer, made without a model.",
    )

    approval_reason = FreeLine(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="Why a person must decide about the answer. Not shown to the user.",
    )
    approval_expires_at = models.DateTimeField(
        null=True, help_text="When the job fails if no person has decided."
    )

    objects = Jobs.as_manager()

    class Meta:
        permissions = (("requeue_job", "Can run the input of a failed job again"),)
        constraints = (
            models.UniqueConstraint(
                fields=["requeued_from"],
                condition=Q(requeued_from__isnull=False),
                name="job_requeued_once",
            ),
            models.CheckConstraint(
                condition=Q(charge_micro=0)
                | (Q(charge_micro__gt=0) & ~Q(status__in=[Status.QUEUED, Status.RUNNING])),
                name="job_charged_only_for_an_answer",
            ),
            models.UniqueConstraint(
                fields=["user", "idempotency_key"], name="job_idempotency_key_once"
            ),
            models.CheckConstraint(
                condition=Q(status__in=Status.values), name="job_status_is_known"
            ),
            models.CheckConstraint(
                condition=Q(finished_at__isnull=False, status__in=sorted(TERMINAL))
                | (Q(finished_at__isnull=True) & ~Q(status__in=sorted(TERMINAL))),
                name="job_finished_exactly_when_terminal",
            ),
            models.CheckConstraint(
                condition=(Q(status=Status.RUNNING, lease_until__isnull=False))
                | (~Q(status=Status.RUNNING) & Q(lease_until__isnull=True)),
                name="job_leased_exactly_while_running",
            ),
        )
        indexes = (
            models.Index(F("user"), F("created_at").desc(), F("id").desc(), name="job_own_newest"),
            models.Index(fields=["run_at"], condition=Q(status=Status.QUEUED), name="job_due"),
            models.Index(
                fields=["deadline_at"], condition=Q(status=Status.QUEUED), name="job_overdue"
            ),
            models.Index(
                fields=["feature", "user", "run_at"],  # the dispatcher iterates over users
                condition=Q(status=Status.QUEUED, published_at=None, origin=Origin.USER),
                name="job_waiting_users",
            ),
            models.Index(
                fields=["run_at"],
                condition=Q(status__in=[Status.QUEUED, Status.RUNNING]) & ~Q(origin=Origin.USER),
                name="job_open_others",
            ),
            models.Index(
                fields=["published_at"],
                condition=Q(status=Status.QUEUED, published_at__isnull=False),
                name="job_published",
            ),
            models.Index(
                fields=["lease_until"], condition=Q(status=Status.RUNNING), name="job_leased"
            ),
            models.Index(
                F("created_at").desc(),
                F("id").desc(),
                # For index-only counts of a day.
                include=["feature", "status", "finished_at", "origin"],
                name="job_day_by_origin",
            ),
            models.Index(
                fields=["approval_expires_at"],
                condition=Q(status=Status.NEEDS_APPROVAL),
                name="job_awaits_approval",
            ),
            models.Index(
                F("finished_at").desc(), condition=Q(status=Status.FAILED), name="job_failed"
            ),
            models.Index(
                F("finished_at").desc(),
                condition=Q(status=Status.CANCELLED, cancelled_by=CancelledBy.USER),
                name="job_cancelled_by_user",
            ),
            models.Index(
                fields=["feature", "finished_at"],
                condition=Q(content_blanked_at__isnull=True, finished_at__isnull=False),
                name="job_with_content",
            ),
            models.Index(
                fields=["feature", "created_at"],
                condition=Q(options__has_key="canary"),
                name="job_in_canary",
            ),
            models.Index(
                F("finished_at").desc(),
                condition=Q(origin=Origin.USER, finished_at__isnull=False),
                name="job_ended_of_users",
            ),
        )

    def __str__(self) -> str:
        return f"{self.feature} {self.id}"

    @property
    def is_withheld(self) -> bool:
        """Whether there is an answer that its user may not read: no person has approved it."""
        unreleased = {Status.NEEDS_APPROVAL, Status.REJECTED}
        waited = self.approval_expires_at is not None and self.status != Status.SUCCEEDED
        return waited or self.status in unreleased
