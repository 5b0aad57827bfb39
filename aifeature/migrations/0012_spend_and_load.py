import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Rates of users, the month's budget, the switch's manners, alerts, spend by the hour.

    Processes of the release before run on: every new column has a default, and what they reserve
    and settle counts in the month as well, since that is done inside `aif_hold`.
    """

    dependencies = [
        ("aifeature", "0011_rescue"),
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Alert",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(help_text="Names its runbook.", max_length=40)),
                (
                    "subject",
                    models.CharField(
                        help_text="The feature, model, user or window.", max_length=120
                    ),
                ),
                ("summary", models.TextField()),
                ("figures", models.JSONField(db_default={}, default=dict)),
                (
                    "opened_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "seen_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="Last found to be still so.",
                    ),
                ),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("told_at", models.DateTimeField(blank=True, null=True)),
                ("end_told_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("-opened_at", "-id"),
            },
        ),
        migrations.CreateModel(
            name="CheckRun",
            fields=[
                ("name", models.CharField(max_length=80, primary_key=True, serialize=False)),
                ("began_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField()),
                (
                    "ok",
                    models.BooleanField(help_text="Whether it ran to its end and found nothing."),
                ),
                ("result", models.TextField(help_text="A sentence.")),
                ("figures", models.JSONField(db_default={}, default=dict)),
            ],
            options={
                "verbose_name": "check",
            },
        ),
        migrations.CreateModel(
            name="Launch",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "feature",
                    models.CharField(help_text="A feature, or `_everything`.", max_length=40),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                (
                    "factor",
                    models.DecimalField(
                        decimal_places=2,
                        help_text="Times the usual spend that is expected.",
                        max_digits=6,
                    ),
                ),
                ("note", models.TextField(help_text="What is launched.")),
                (
                    "announced_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "verbose_name_plural": "launches",
                "ordering": ("-starts_at",),
            },
        ),
        migrations.CreateModel(
            name="ModelControl",
            fields=[
                ("model", models.CharField(max_length=80, primary_key=True, serialize=False)),
                (
                    "forced",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "Automatic"),
                            ("open", "Forced open: nothing is sent"),
                            ("closed", "Forced closed: everything is sent"),
                        ],
                        db_default="",
                        default="",
                        max_length=8,
                    ),
                ),
                ("reason", models.TextField(blank=True, db_default="", default="")),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "verbose_name": "model",
                "permissions": (("force_breaker", "Can force a circuit breaker"),),
            },
        ),
        migrations.CreateModel(
            name="RateOverride",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "feature",
                    models.CharField(
                        blank=True, default="", help_text="Empty: of all.", max_length=40
                    ),
                ),
                (
                    "requests_per_minute",
                    models.DecimalField(blank=True, decimal_places=2, max_digits=8, null=True),
                ),
                ("tokens_per_minute", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "in_flight",
                    models.PositiveSmallIntegerField(
                        blank=True, null=True, verbose_name="calls at once"
                    ),
                ),
                ("reason", models.TextField()),
                (
                    "expires_at",
                    models.DateTimeField(blank=True, help_text="Empty: never.", null=True),
                ),
                (
                    "check_name",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="The check that made it, if no person did.",
                        max_length=80,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SpendHour",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("global", "Global"),
                            ("feature", "Feature"),
                            ("user", "User"),
                            ("month", "Month"),
                        ],
                        max_length=8,
                    ),
                ),
                ("key", models.CharField(max_length=80)),
                ("hour", models.DateTimeField()),
                ("spend_micro", models.BigIntegerField()),
                ("calls", models.PositiveIntegerField()),
            ],
        ),
        migrations.AlterModelOptions(
            name="featurecontrol",
            options={
                "permissions": (
                    ("stop_feature", "Can pull the kill switch"),
                    ("release_feature", "Can release the kill switch"),
                ),
                "verbose_name": "feature",
            },
        ),
        migrations.AddField(
            model_name="controlchange",
            name="figures",
            field=models.JSONField(
                blank=True, help_text="What a check saw when it made the change.", null=True
            ),
        ),
        migrations.AddField(
            model_name="featurecontrol",
            name="kill_mode",
            field=models.CharField(
                choices=[
                    ("hold", "Hold: they go on after the release, if their deadline lets them"),
                    ("cancel", "Cancel: they end"),
                ],
                db_default="hold",
                default="hold",
                max_length=8,
                verbose_name="jobs of a stopped feature",
            ),
        ),
        migrations.AddField(
            model_name="featurecontrol",
            name="monthly_budget_usd",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="Of everything, in one UTC month. Empty: GLOBAL_MONTHLY_BUDGET_USD.",
                max_digits=10,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="featurecontrol",
            name="release_percent",
            field=models.PositiveSmallIntegerField(
                db_default=100,
                default=100,
                help_text="Share of users for whom a released switch is off, 0 to 100. The same users stay in as it grows.",
                verbose_name="released for (%)",
            ),
        ),
        migrations.AddField(
            model_name="featurecontrol",
            name="requests_per_minute",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="Of one user. Empty: the code's rate.",
                max_digits=8,
                null=True,
                verbose_name="requests per minute",
            ),
        ),
        migrations.AddField(
            model_name="featurecontrol",
            name="tokens_per_minute",
            field=models.PositiveIntegerField(
                blank=True, help_text="Of one user. Empty: the code's rate.", null=True
            ),
        ),
        migrations.AddField(
            model_name="featurecontrol",
            name="user_in_flight",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="Of one user. Empty: as many as the code says.",
                null=True,
                verbose_name="calls at once",
            ),
        ),
        migrations.AlterField(
            model_name="spendwindow",
            name="day",
            field=models.DateField(help_text="Of a month its first."),
        ),
        migrations.AlterField(
            model_name="spendwindow",
            name="scope",
            field=models.CharField(
                choices=[
                    ("global", "Global"),
                    ("feature", "Feature"),
                    ("user", "User"),
                    ("month", "Month"),
                ],
                max_length=8,
            ),
        ),
        migrations.AddConstraint(
            model_name="featurecontrol",
            constraint=models.CheckConstraint(
                condition=models.Q(("release_percent__lte", 100)),
                name="control_release_at_most_100",
            ),
        ),
        migrations.AddConstraint(
            model_name="featurecontrol",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("monthly_budget_usd__isnull", True),
                        ("monthly_budget_usd__gte", 0),
                        _connector="OR",
                    ),
                    models.Q(
                        ("requests_per_minute__isnull", True),
                        ("requests_per_minute__gt", 0),
                        _connector="OR",
                    ),
                    models.Q(
                        ("tokens_per_minute__isnull", True),
                        ("tokens_per_minute__gt", 0),
                        _connector="OR",
                    ),
                    models.Q(
                        ("user_in_flight__isnull", True), ("user_in_flight__gt", 0), _connector="OR"
                    ),
                ),
                name="control_rates_positive",
            ),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["-opened_at"], name="alert_newest"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(
                    ("told_at", None),
                    models.Q(("closed_at__isnull", False), ("end_told_at", None)),
                    _connector="OR",
                ),
                fields=["opened_at"],
                name="alert_to_tell",
            ),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.UniqueConstraint(
                condition=models.Q(("closed_at", None)),
                fields=("kind", "subject"),
                name="alert_open_once",
            ),
        ),
        migrations.AddField(
            model_name="launch",
            name="announced_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="modelcontrol",
            constraint=models.CheckConstraint(
                condition=models.Q(("forced__in", ["", "open", "closed"])),
                name="breaker_force_is_known",
            ),
        ),
        migrations.AddField(
            model_name="rateoverride",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="rateoverride",
            name="group",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="auth.group",
            ),
        ),
        migrations.AddField(
            model_name="rateoverride",
            name="user",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="spendhour",
            index=models.Index(fields=["scope", "key", "hour"], name="spend_hour_of_key"),
        ),
        migrations.AddConstraint(
            model_name="spendhour",
            constraint=models.UniqueConstraint(
                fields=("hour", "scope", "key"), name="spend_hour_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="launch",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__gt", models.F("starts_at"))), name="launch_lasts"
            ),
        ),
        migrations.AddConstraint(
            model_name="launch",
            constraint=models.CheckConstraint(
                condition=models.Q(("factor__gte", 1)), name="launch_raises"
            ),
        ),
        migrations.AddConstraint(
            model_name="rateoverride",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("user__isnull", True), ("group__isnull", True), _connector="XOR"
                ),
                name="override_of_a_user_or_a_group",
            ),
        ),
        migrations.AddConstraint(
            model_name="rateoverride",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("requests_per_minute__isnull", True),
                        ("requests_per_minute__gt", 0),
                        _connector="OR",
                    ),
                    models.Q(
                        ("tokens_per_minute__isnull", True),
                        ("tokens_per_minute__gt", 0),
                        _connector="OR",
                    ),
                    models.Q(("in_flight__isnull", True), ("in_flight__gt", 0), _connector="OR"),
                ),
                name="override_rates_positive",
            ),
        ),
        *sql.load(
            *("paused", "trip", "windows", "month", "settle_attempt", "settle_unknown"),
            *("begin_attempt", "lease", "dispatch", "overdue", "calls", "stopped", "reconcile"),
            *("load", "release_guard"),
        ),
    ]
