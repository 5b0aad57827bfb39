import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """State only: help texts and labels, which are not in the database."""

    dependencies = [
        ("aifeature", "0037_alert_notified"),
    ]

    operations = [
        migrations.AlterField(
            model_name="alert",
            name="seen_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="When a check last found it.",
            ),
        ),
        migrations.AlterField(
            model_name="attempt",
            name="cost_micro",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                help_text="Micro-dollars the provider bills; for an estimated call, its ceiling.",
            ),
        ),
        migrations.AlterField(
            model_name="attempt",
            name="settled_reason",
            field=models.TextField(
                blank=True, db_default="", default="", help_text="How the cost was found out."
            ),
        ),
        migrations.AlterField(
            model_name="checkrun",
            name="completed_at",
            field=models.DateTimeField(
                blank=True, help_text="When it last completed, with or without findings.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="checkrun",
            name="ok",
            field=models.BooleanField(help_text="Whether it completed and found nothing."),
        ),
        migrations.AlterField(
            model_name="controlchange",
            name="check_name",
            field=models.CharField(
                blank=True,
                help_text="The check or command that made it, if not a person.",
                max_length=80,
            ),
        ),
        migrations.AlterField(
            model_name="controlchange",
            name="feature",
            field=models.CharField(
                blank=True, help_text="Empty if a model changed.", max_length=40
            ),
        ),
        migrations.AlterField(
            model_name="controlchange",
            name="figures",
            field=models.JSONField(
                blank=True, help_text="Figures for which a check made the change.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="featurecontrol",
            name="kill_mode",
            field=models.CharField(
                choices=[
                    ("hold", "Hold: they continue after the release, if their deadline allows"),
                    ("cancel", "Cancel: they end"),
                ],
                db_default="hold",
                default="hold",
                max_length=8,
                verbose_name="jobs of a stopped feature",
            ),
        ),
        migrations.AlterField(
            model_name="featurecontrol",
            name="monthly_budget_usd",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="For all features in one UTC month. Empty: GLOBAL_MONTHLY_BUDGET_USD.",
                max_digits=10,
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="featurecontrol",
            name="prompt_version",
            field=models.CharField(
                blank=True, default="", help_text="Empty: the version set in code.", max_length=16
            ),
        ),
        migrations.AlterField(
            model_name="featurecontrol",
            name="release_percent",
            field=models.PositiveSmallIntegerField(
                db_default=100,
                default=100,
                help_text="Share of users for whom a released switch is off, 0 to 100. Raising it keeps the users already included.",
                verbose_name="released for (%)",
            ),
        ),
        migrations.AlterField(
            model_name="featurecontrol",
            name="requests_per_minute",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="Per user. Empty: the code's rate.",
                max_digits=8,
                null=True,
                verbose_name="requests per minute",
            ),
        ),
        migrations.AlterField(
            model_name="featurecontrol",
            name="retention_days",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Empty: the code's value.",
                null=True,
                verbose_name="content kept (days)",
            ),
        ),
        migrations.AlterField(
            model_name="featurecontrol",
            name="tokens_per_minute",
            field=models.PositiveIntegerField(
                blank=True, help_text="Per user. Empty: the code's rate.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="featurecontrol",
            name="user_daily_spend_usd",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="Most that one user's calls may cost in one UTC day, charged or not. Empty: twice what the user may be charged.",
                max_digits=10,
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="featurecontrol",
            name="user_in_flight",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="Per user. Empty: the code's limit.",
                null=True,
                verbose_name="calls at once",
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="deadline_at",
            field=models.DateTimeField(help_text="When the job fails if still open."),
        ),
        migrations.AlterField(
            model_name="job",
            name="epoch",
            field=models.IntegerField(
                db_default=0, default=0, help_text="Fencing token of each claim."
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="partial_text",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="Part of the answer shown to the user before they cancelled.",
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="published_at",
            field=models.DateTimeField(
                help_text="When last sent to the broker; empty while it waits for its turn.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="run_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="Earliest time of a claim.",
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="started_at",
            field=models.DateTimeField(help_text="When it was first claimed.", null=True),
        ),
        migrations.AlterField(
            model_name="job",
            name="wait_reason",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Why it waits, or waited before its current run. Empty once it has ended.",
                max_length=64,
            ),
        ),
        migrations.AlterField(
            model_name="launch",
            name="factor",
            field=models.DecimalField(
                decimal_places=2, help_text="Expected multiple of the usual spend.", max_digits=6
            ),
        ),
        migrations.AlterField(
            model_name="provideraccount",
            name="code",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Error code of the refused calls.",
                max_length=40,
                verbose_name="error code",
            ),
        ),
        migrations.AlterField(
            model_name="provideraccount",
            name="failed_probes",
            field=models.PositiveIntegerField(
                db_default=0, default=0, help_text="Consecutive failed probes."
            ),
        ),
        migrations.AlterField(
            model_name="provideraccount",
            name="probe_until",
            field=models.DateTimeField(
                blank=True, help_text="Latest end of the probe in flight.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="provideraccount",
            name="stopped_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When it began to refuse every call. Empty: it works.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="provideraccount",
            name="tried_at",
            field=models.DateTimeField(
                blank=True, help_text="When the last probe ended.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="rateoverride",
            name="check_name",
            field=models.CharField(
                blank=True,
                default="",
                help_text="The check that made it, if not a person.",
                max_length=80,
            ),
        ),
        migrations.AlterField(
            model_name="rateoverride",
            name="feature",
            field=models.CharField(blank=True, default="", help_text="Empty: all.", max_length=40),
        ),
        migrations.AlterField(
            model_name="scheduledefault",
            name="defined",
            field=models.JSONField(
                db_default={}, default=dict, help_text="Values by column, as text."
            ),
        ),
        migrations.AlterField(
            model_name="signincount",
            name="until",
            field=models.DateTimeField(db_index=True, help_text="When the count restarts at zero."),
        ),
        migrations.AlterField(
            model_name="spendhour",
            name="phantom_micro",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                help_text="Part of the spend that is an upper limit: calls in flight, and calls of unknown cost unless their user ended them.",
            ),
        ),
        migrations.AlterField(
            model_name="spendwindow",
            name="day",
            field=models.DateField(help_text="For a month, its first day."),
        ),
        migrations.AlterField(
            model_name="watch",
            name="alive_at",
            field=models.DateTimeField(
                blank=True, help_text="For a queue: when a live worker was last seen.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="watch",
            name="since",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="For `turn`: when the watching began, after its last gap.",
            ),
        ),
        migrations.AlterField(
            model_name="webfailure",
            name="code",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Code of the refusal, or type of the exception.",
                max_length=80,
            ),
        ),
        migrations.AlterField(
            model_name="webfailure",
            name="place",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="URL pattern, without ids. Empty: no pattern matched.",
                max_length=200,
            ),
        ),
        migrations.AlterField(
            model_name="webfailure",
            name="status",
            field=models.SmallIntegerField(help_text="HTTP status of the response."),
        ),
        migrations.AlterField(
            model_name="worker",
            name="resumed_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When it was seen again after a gap of over 3 seconds.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="worker",
            name="seen_at",
            field=models.DateTimeField(help_text="Updated every second.", verbose_name="last seen"),
        ),
        migrations.AlterField(
            model_name="worker",
            name="slots",
            field=models.PositiveIntegerField(
                help_text="Jobs it can run at the same time; 0 while it is stopping.",
                verbose_name="threads",
            ),
        ),
    ]
