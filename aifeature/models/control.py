"""Settings that operators change while a feature runs, and the audit log of changes."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from aifeature.models.free_text import FreeText
from aifeature.spec import MAX_RETENTION_DAYS


class Stage(models.TextChoices):
    OFF = "off", "Off: nobody"
    STAFF = "staff", "Staff only"
    BETA = "beta", "Staff and invited users"
    PERCENT = "percent", "A percentage of users"
    EVERYONE = "everyone"


class KillMode(models.TextChoices):
    HOLD = "hold", "Hold: they continue after the release, if their deadline allows"
    CANCEL = "cancel", "Cancel: they end"


class RegressionAction(models.TextChoices):
    NOTIFY = "notify", "Alert on-call"
    ROLL_BACK = "roll_back", "Alert, and roll the prompt back"
    STOP = "stop", "Alert, and pull the kill switch"


class FeatureControl(models.Model):
    """One row per feature. A feature without a row is off and has the limits of its spec."""

    feature = models.CharField(max_length=40, primary_key=True)
    stage = models.CharField(max_length=8, choices=Stage, default=Stage.OFF)
    percent = models.PositiveSmallIntegerField(
        default=0, help_text="Share of users at stage percent, 0 to 100. Sticky for each user."
    )
    seed = models.CharField(
        max_length=80,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Seed of each user's buckets. Empty: the feature. Another one moves all users.",
    )
    beta_users = models.ManyToManyField(
        settings.AUTH_USER_MODEL,
        blank=True,
        related_name="+",
        help_text="Invited: they may use it from stage beta on, also if they are in the hold-out.",
    )
    beta_groups = models.ManyToManyField(
        "auth.Group",
        blank=True,
        related_name="+",
        help_text="Their members may use it from stage beta on.",
    )
    beta_cap = models.PositiveIntegerField(
        "places in the beta",
        default=0,
        db_default=0,
        help_text="Most users who may join by themselves. 0: by invitation only.",
    )
    holdout_percent = models.PositiveSmallIntegerField(
        "hold-out (%)",
        default=0,
        db_default=0,
        help_text="Share of users who never get it, for comparison, 0 to 50.",
    )
    killed = models.BooleanField(
        "kill switch", default=False, db_default=False, help_text="On: nothing is accepted or sent."
    )
    kill_reason = FreeText(blank=True, default="", db_default="")
    kill_mode = models.CharField(
        "jobs of a stopped feature",
        max_length=8,
        choices=KillMode,
        default=KillMode.HOLD,
        db_default="hold",
    )
    release_percent = models.PositiveSmallIntegerField(
        "released for (%)",
        default=100,
        db_default=100,
        help_text="Share of users for whom a released switch is off, 0 to 100. Raising it keeps the"
        " users already included.",
    )
    prompt_version = models.CharField(
        max_length=16, blank=True, default="", help_text="Empty: the version set in code."
    )
    daily_budget_usd = models.DecimalField(
        null=True, blank=True, max_digits=10, decimal_places=2, help_text="Empty: the code's cap."
    )
    user_daily_budget_usd = models.DecimalField(
        null=True, blank=True, max_digits=10, decimal_places=2, help_text="Empty: the code's cap."
    )
    user_daily_spend_usd = models.DecimalField(
        null=True,
        blank=True,
        max_digits=10,
        decimal_places=2,
        help_text="Most that one user's calls may cost in one UTC day, charged or not. Empty: twice"
        " what the user may be charged.",
    )
    monthly_budget_usd = models.DecimalField(
        null=True,
        blank=True,
        max_digits=10,
        decimal_places=2,
        help_text="For all features in one UTC month. Empty: GLOBAL_MONTHLY_BUDGET_USD.",
    )
    requests_per_minute = models.DecimalField(
        "requests per minute",
        null=True,
        blank=True,
        max_digits=8,
        decimal_places=2,
        help_text="Per user. Empty: the code's rate.",
    )
    tokens_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Per user. Empty: the code's rate."
    )
    user_in_flight = models.PositiveSmallIntegerField(
        "calls at once",
        null=True,
        blank=True,
        help_text="Per user. Empty: the code's limit.",
    )
    deadline_s = models.PositiveIntegerField(
        "deadline (s)", null=True, blank=True, help_text="Empty: the code's deadline."
    )
    retention_days = models.PositiveIntegerField(
        "content kept (days)", null=True, blank=True, help_text="Empty: the code's value."
    )
    regression_action = models.CharField(
        "after a regression",
        max_length=12,
        choices=RegressionAction,
        default=RegressionAction.NOTIFY,
        db_default="notify",
        help_text="What the weekly run does when a second run confirms a regression.",
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = "feature"
        permissions = (
            ("stop_feature", "Can pull the kill switch"),
            ("release_feature", "Can release the kill switch"),
            ("activate_prompt", "Can activate prompts with evidence, and roll back"),
            ("override_prompt", "Can request and approve prompts without evidence"),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(percent__lte=100), name="control_percent_at_most_100"
            ),
            models.CheckConstraint(
                condition=Q(holdout_percent__lte=50), name="control_holdout_at_most_half"
            ),
            models.CheckConstraint(
                condition=(Q(daily_budget_usd__isnull=True) | Q(daily_budget_usd__gte=0))
                & (Q(user_daily_budget_usd__isnull=True) | Q(user_daily_budget_usd__gte=0)),
                name="control_budgets_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(user_daily_spend_usd__isnull=True) | Q(user_daily_spend_usd__gte=0),
                name="control_user_spend_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(deadline_s__isnull=True) | Q(deadline_s__range=(1, 3000)),
                name="control_deadline_in_range",
            ),
            models.CheckConstraint(
                condition=Q(retention_days__isnull=True)
                | Q(retention_days__range=(1, MAX_RETENTION_DAYS)),
                name="control_retention_in_range",
            ),
            models.CheckConstraint(
                condition=Q(release_percent__lte=100), name="control_release_at_most_100"
            ),
            models.CheckConstraint(
                condition=(Q(monthly_budget_usd__isnull=True) | Q(monthly_budget_usd__gte=0))
                & (Q(requests_per_minute__isnull=True) | Q(requests_per_minute__gt=0))
                & (Q(tokens_per_minute__isnull=True) | Q(tokens_per_minute__gt=0))
                & (Q(user_in_flight__isnull=True) | Q(user_in_flight__gt=0)),
                name="control_rates_positive",
            ),
        )

    def __str__(self) -> str:
        return self.feature

    @property
    def known_stage(self) -> Stage:
        """The stage, or OFF if this release does not define it."""
        return Stage(self.stage) if self.stage in Stage else Stage.OFF

    @property
    def known_kill_mode(self) -> KillMode:
        """The kill mode, or HOLD if this release does not define it."""
        return KillMode(self.kill_mode) if self.kill_mode in KillMode else KillMode.HOLD


class ControlChange(models.Model):
    """An audit row: one change of one field, its author and its reason. Never edited."""

    feature = models.CharField(max_length=40, blank=True, help_text="Empty if a model changed.")
    model = models.CharField(max_length=80, blank=True, default="", db_default="")
    field = models.CharField(max_length=40)
    old = models.TextField(blank=True)
    new = models.TextField(blank=True)
    reason = FreeText()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    check_name = models.CharField(
        max_length=80, blank=True, help_text="The check or command that made it, if not a person."
    )
    figures = models.JSONField(
        null=True, blank=True, help_text="Figures for which a check made the change."
    )
    at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "change"
        ordering = ("-at", "-id")
        indexes = (models.Index(fields=["feature", "-at"], name="change_of_feature"),)

    def __str__(self) -> str:
        return f"{self.feature or self.model}.{self.field}: {self.old} → {self.new}"
