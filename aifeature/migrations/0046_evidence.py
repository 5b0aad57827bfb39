import uuid
from datetime import timedelta

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """No prompt goes live unproven: evidence, the history of what is live, and their guards.

    A feature that is open when this is applied serves staff only until its prompt has evidence.
    """

    dependencies = [
        ("aifeature", "0045_rows_to_change"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="featurecontrol",
            options={
                "permissions": (
                    ("stop_feature", "Can pull the kill switch"),
                    ("release_feature", "Can release the kill switch"),
                    ("activate_prompt", "Can activate prompts with evidence, and roll back"),
                    ("override_prompt", "Can request and approve prompts without evidence"),
                ),
                "verbose_name": "feature",
            },
        ),
        migrations.AddField(
            model_name="featurecontrol",
            name="regression_action",
            field=models.CharField(
                choices=[
                    ("notify", "Alert on-call"),
                    ("roll_back", "Alert, and roll the prompt back"),
                    ("stop", "Alert, and pull the kill switch"),
                ],
                db_default="notify",
                default="notify",
                help_text="What the weekly run does when a second run confirms a regression.",
                max_length=12,
                verbose_name="after a regression",
            ),
        ),
        migrations.CreateModel(
            name="Evidence",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("feature", models.CharField(max_length=40)),
                ("version", models.CharField(max_length=16)),
                (
                    "provider",
                    models.CharField(
                        help_text="`anthropic`, `sandbox`, or a provider elsewhere.", max_length=120
                    ),
                ),
                (
                    "prompt_hash",
                    models.CharField(
                        help_text="Of text, parameters, schema, routes.", max_length=64
                    ),
                ),
                (
                    "fingerprint",
                    models.CharField(
                        help_text="Of prompt, suite, scorers, judge and provider.", max_length=64
                    ),
                ),
                (
                    "conditions",
                    models.JSONField(help_text="The parts of the fingerprint, by name."),
                ),
                (
                    "live_hash",
                    models.CharField(
                        blank=True,
                        help_text="Of the prompt that was live, which it was compared with; empty: none was.",
                        max_length=64,
                    ),
                ),
                ("passed", models.BooleanField()),
                (
                    "verdict",
                    models.JSONField(help_text="The decision, with its figures and reasons."),
                ),
                (
                    "outcomes",
                    models.JSONField(
                        help_text="By case: its content's hash, its group, and each repeat with its call."
                    ),
                ),
                ("runs", models.JSONField(help_text="Ids of the runs that it is made of.")),
                (
                    "answered_by",
                    models.JSONField(
                        help_text="The models that answered, as the provider named them."
                    ),
                ),
                (
                    "account",
                    models.CharField(blank=True, help_text="Provider and key.", max_length=80),
                ),
                (
                    "origin",
                    models.CharField(
                        choices=[
                            ("command", "python -m evals"),
                            ("weekly", "Weekly regression run"),
                            ("recorded", "Recorded in the repository"),
                            ("loaded", "Loaded from a file"),
                        ],
                        default="command",
                        max_length=8,
                    ),
                ),
                ("measured_at", models.DateTimeField(help_text="The start of the newest run.")),
                (
                    "fresh_until",
                    models.DateTimeField(
                        help_text="Until then it permits an activation; empty: always.", null=True
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "verbose_name_plural": "evidence",
                "indexes": [
                    models.Index(
                        fields=["feature", "prompt_hash", "-created_at"], name="evidence_newest"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("passed", False),
                            models.Q(
                                ("verdict__decision", "pass"), ("verdict__has_key", "decision")
                            ),
                            _connector="OR",
                        ),
                        name="evidence_passed_by_its_verdict",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("fresh_until__isnull", False), ("provider", "sandbox"), _connector="OR"
                        ),
                        name="evidence_of_a_model_ages",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("fresh_until__isnull", True),
                            (
                                "fresh_until__lte",
                                models.expressions.CombinedExpression(
                                    models.F("measured_at"),
                                    "+",
                                    models.Value(timedelta(days=366)),
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="evidence_ages_within_a_year",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Activation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("feature", models.CharField(max_length=40)),
                ("provider", models.CharField(max_length=120)),
                ("version", models.CharField(max_length=16)),
                ("prompt_hash", models.CharField(max_length=64)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("activated", "Activated"),
                            ("deployed", "Activated again after a deploy changed it"),
                            ("rolled_back", "Rolled Back"),
                            ("requested", "Override requested"),
                            ("overridden", "Activated without evidence"),
                            ("ended", "Override ended"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "replaces_hash",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Of the prompt that was live before. The database sets it.",
                        max_length=64,
                    ),
                ),
                (
                    "hours",
                    models.PositiveSmallIntegerField(
                        blank=True, help_text="How long a requested override lasts.", null=True
                    ),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "check_name",
                    models.CharField(
                        blank=True,
                        help_text="The check or command that made it, if not a person.",
                        max_length=80,
                    ),
                ),
                ("reason", models.TextField()),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "request",
                    models.ForeignKey(
                        blank=True,
                        help_text="Of an approved override: its request. Of an end: the override.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="answers",
                        to="aifeature.activation",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "evidence",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="activations",
                        to="aifeature.evidence",
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [models.Index(fields=["feature", "-id"], name="activation_newest")],
            },
        ),
        *sql.load("promotion"),
        *(
            migrations.RunSQL(
                f"CREATE OR REPLACE TRIGGER truncate_guard BEFORE TRUNCATE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION aif_guard_truncate()",
                f"DROP TRIGGER IF EXISTS truncate_guard ON {table}",
            )
            for table in ("aifeature_evidence", "aifeature_activation")
        ),
    ]
