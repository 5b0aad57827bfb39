import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Run",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("feature", models.CharField(max_length=40)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("compare", "Candidate against baseline"),
                            ("alone", "Candidate against its floor"),
                            ("aa", "The same prompt twice"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("ended", "Ended"),
                            ("stopped", "Stopped"),
                        ],
                        default="running",
                        max_length=8,
                    ),
                ),
                ("note", models.TextField(blank=True, default="", help_text="Why it stopped.")),
                (
                    "cases",
                    models.JSONField(help_text="The cases and tags as they were when it started."),
                ),
                ("suite_hash", models.CharField(max_length=64)),
                (
                    "arms",
                    models.JSONField(
                        help_text="By arm: version, hash and texts of the prompt; the run whose outputs it took."
                    ),
                ),
                (
                    "judge",
                    models.JSONField(
                        help_text="Version, hash and models of the judge; empty without one.",
                        null=True,
                    ),
                ),
                (
                    "scorer_hash",
                    models.CharField(help_text="Of the code of the scorers.", max_length=64),
                ),
                (
                    "provider",
                    models.CharField(help_text="`anthropic`, or `sandbox`.", max_length=16),
                ),
                ("repeats", models.PositiveSmallIntegerField()),
                (
                    "estimate_micro",
                    models.BigIntegerField(help_text="Micro-dollars, estimated before it started."),
                ),
                ("cap_micro", models.BigIntegerField(help_text="Micro-dollars that it may spend.")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "outputs_deleted_at",
                    models.DateTimeField(
                        help_text="When its retention ended. Scores, verdict and costs stay.",
                        null=True,
                    ),
                ),
                ("verdict", models.JSONField(null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["feature", "-created_at"], name="run_newest")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("ended_at__isnull", False),
                                ("state", "ended"),
                                ("verdict__isnull", False),
                            ),
                            models.Q(("state", "ended"), _negated=True),
                            _connector="OR",
                        ),
                        name="run_ended_has_a_verdict",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Sample",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "arm",
                    models.CharField(
                        help_text="`candidate`, `baseline`, `fresh`, `plain`.", max_length=16
                    ),
                ),
                ("case", models.CharField(max_length=60)),
                (
                    "repeat",
                    models.PositiveSmallIntegerField(help_text="1, 2, ... within arm and case."),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("running", "Running"),
                            ("scored", "Scored"),
                            ("unscored", "Unscored"),
                        ],
                        default="pending",
                        max_length=8,
                    ),
                ),
                (
                    "tries",
                    models.PositiveSmallIntegerField(
                        default=0,
                        help_text="How often a fault of the machinery, or the budget, stopped it.",
                    ),
                ),
                ("job", models.UUIDField(null=True, unique=True)),
                ("judge_job", models.UUIDField(null=True, unique=True)),
                ("output", models.JSONField(null=True)),
                (
                    "parts",
                    models.JSONField(
                        default=list, help_text="The result of each scorer: scorer, passed, note."
                    ),
                ),
                (
                    "judgement",
                    models.JSONField(
                        help_text="The judge's score and reason for each criterion.", null=True
                    ),
                ),
                ("passed", models.BooleanField(null=True)),
                ("score", models.FloatField(help_text="0 to 1.", null=True)),
                (
                    "problem",
                    models.TextField(
                        blank=True, default="", help_text="Why there is no output, or no score."
                    ),
                ),
                ("model", models.CharField(blank=True, default="", max_length=80)),
                (
                    "cost_micro",
                    models.BigIntegerField(
                        default=0, help_text="Of all its calls, and the judge's."
                    ),
                ),
                ("latency_ms", models.IntegerField(null=True)),
                (
                    "attempts",
                    models.JSONField(default=list, help_text="Ids of its calls in the ledger."),
                ),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="samples",
                        to="evals.run",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["pending", "running"])),
                        fields=["run"],
                        name="sample_open",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("run", "arm", "case", "repeat"), name="sample_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("passed__isnull", False),
                                ("score__isnull", False),
                                ("state", "scored"),
                            ),
                            models.Q(("state", "scored"), _negated=True),
                            _connector="OR",
                        ),
                        name="sample_scored_has_a_score",
                    ),
                ],
            },
        ),
    ]
