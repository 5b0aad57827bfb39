"""The ledger of provider calls that may be billed, and the spend windows."""

from __future__ import annotations

import uuid
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from aifeature.models.free_text import FreeText
from aifeature.models.job import Job
from aifeature.spec import Purpose


class AttemptState(models.TextChoices):
    """State of a call's cost. `docs/decisions/billing.md` lists the ends that lead to each.

    `started` → settled | failed | estimated | unknown; estimated | unknown → settled. The database
    refuses all other changes.
    """

    STARTED = "started"
    SETTLED = "settled"
    """Usage was reported: `cost_micro` is what the provider bills."""
    FAILED = "failed"
    """The provider bills nothing."""
    ESTIMATED = "estimated"
    """The answer began and was cut off: `cost_micro` is its ceiling."""
    UNKNOWN = "unknown"
    """Sent, but no answer began: counted at `bound_micro`."""


UNSURE = frozenset({AttemptState.ESTIMATED, AttemptState.UNKNOWN})
"""States whose spend is an upper limit. They may be settled later."""


NEEDS_A_PERSON = Q(state=AttemptState.UNKNOWN, own_spend=False) & ~Q(purpose=Purpose.PROBE)
"""Calls whose cost a person should find out. A call that its user ended counts for that user, and a
probe costs a cent at most: both can stay unknown."""


OF_USERS: Final = "a.budget = ''"
"""`Attempts.of_users` in SQL, over `aifeature_attempt a`."""


class Attempts(models.QuerySet["Attempt"]):
    """Provider calls, of users or of all origins. Each figure for operators chooses one."""

    def of_users(self) -> Attempts:
        """Return the calls of users' jobs, and probes: the budget of their feature pays.

        Calls of evaluations have a budget of their own.
        """
        return self.filter(budget="")

    def of_all_origins(self) -> Attempts:
        """Return all calls, as for figures about the provider and the money of the whole."""
        return self.all()


class Attempt(models.Model):
    """One provider call. Committed before it is sent; costs are stored and never recomputed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey(
        Job, models.PROTECT, null=True, related_name="ledger", db_index=False
    )  # indexed by the unique constraint below
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    feature = models.CharField(max_length=40)
    budget = models.CharField(
        max_length=40,
        blank=True,
        default="",
        db_default="",
        help_text="Whose day's budget pays; empty: the feature's own.",
    )
    epoch = models.IntegerField()
    number = models.SmallIntegerField(help_text="1, 2, ... within the job.")
    purpose = models.CharField(max_length=16, choices=[(p.value, p.value.title()) for p in Purpose])
    state = models.CharField(
        max_length=16, choices=AttemptState, default=AttemptState.STARTED, db_default="started"
    )
    own_spend = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Counts towards its user's spend cap: settled, or ended by the user's own"
        " cancellation.",
    )

    provider = models.CharField(max_length=16, help_text="`anthropic`, or `sandbox`.")
    model = models.CharField(max_length=80)
    reason = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="Why this model."
    )
    prompt_version = models.CharField(max_length=16)
    prompt_hash = models.CharField(max_length=64)
    request = models.JSONField(null=True, help_text="System and messages as sent.")
    output = models.TextField(blank=True, default="", db_default="")

    input_tokens = models.IntegerField(default=0, db_default=0)
    output_tokens = models.IntegerField(default=0, db_default=0)
    cache_read_tokens = models.IntegerField(default=0, db_default=0)
    cache_write_tokens = models.IntegerField(default=0, db_default=0)
    cost_micro = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Micro-dollars the provider bills; for an estimated call, its ceiling.",
    )
    cache_saved_micro = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Micro-dollars that the provider's prompt cache saved; negative for a call that"
        " only wrote to it.",
    )
    bound_micro = models.BigIntegerField(help_text="Micro-dollars reserved: the most it can cost.")

    latency_ms = models.IntegerField(null=True)
    ttft_ms = models.IntegerField(null=True, help_text="Time to the first piece of text.")
    stop_reason = models.CharField(max_length=40, blank=True, default="", db_default="")
    request_id = models.CharField(max_length=80, blank=True, default="", db_default="")
    error_code = models.CharField(max_length=64, blank=True, default="", db_default="")
    error_detail = models.TextField(blank=True, default="", db_default="")

    day = models.DateField(help_text="UTC day of the windows that hold its reservation.")
    started_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)

    # Of an estimated or unknown call that was settled later.
    settled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )  # indexed by the partial index below
    settled_reason = FreeText(
        blank=True, default="", db_default="", help_text="How the cost was found out."
    )
    settled_at = models.DateTimeField(null=True)

    objects = Attempts.as_manager()

    class Meta:
        permissions = (("settle_attempt", "Can settle a call whose end nobody saw"),)
        constraints = (
            models.UniqueConstraint(fields=["job", "number"], name="attempt_number_once"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) ^ ~Q(state=AttemptState.STARTED),
                name="attempt_ended_unless_started",
            ),
        )
        indexes = (
            models.Index(
                fields=["started_at"], condition=Q(state="unknown"), name="attempt_unknown"
            ),
            models.Index(
                fields=["started_at"],
                condition=Q(state__in=["estimated", "unknown"]),
                name="attempt_unsure",
            ),
            models.Index(
                fields=["feature"],
                condition=Q(state="unknown", own_spend=False),
                name="attempt_to_settle",
            ),
            models.Index(F("started_at").desc(), name="attempt_newest"),
            models.Index(
                fields=["feature", "user"], condition=Q(state="started"), name="attempt_open"
            ),
            models.Index(
                fields=["settled_by"],
                condition=Q(settled_by__isnull=False),
                name="attempt_settled_by",
            ),
        )

    def __str__(self) -> str:
        return f"{self.purpose} {self.number} of {self.job_id}"

    @property
    def spend_micro(self) -> int:
        """Micro-dollars counted as spend: the cost, or the bound while the cost is unknown."""
        unseen = self.state in {AttemptState.STARTED, AttemptState.UNKNOWN}
        return self.bound_micro if unseen else self.cost_micro


class SpendWindow(models.Model):
    """Spend of a UTC day (everything, a feature, a user of a feature, a user) or of a month.

    In `user` and `account` windows, `spent_micro` counts charges and `own_spend_micro` the user's
    own spend. In all others, `spent_micro` counts spend. Only `transitions` changes a window, and
    `services.spend.reconciler` repairs it.
    """

    class Scope(models.TextChoices):
        GLOBAL = "global"
        FEATURE = "feature"
        USER = "user"
        ACCOUNT = "account"
        MONTH = "month"

    scope = models.CharField(max_length=8, choices=Scope)
    key = models.CharField(max_length=80, help_text="'', the feature, feature:user id, or user id.")
    day = models.DateField(help_text="For a month, its first day.")
    spent_micro = models.BigIntegerField(default=0, db_default=0)
    held_micro = models.BigIntegerField(default=0, db_default=0)
    own_spend_micro = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["scope", "key", "day"], name="spend_window_once"),
            models.CheckConstraint(
                condition=Q(spent_micro__gte=0, held_micro__gte=0), name="spend_never_negative"
            ),
        )
        indexes = (models.Index(fields=["scope", "day"], name="spend_window_of_day"),)

    def __str__(self) -> str:
        return f"{self.scope} {self.key} {self.day}"
