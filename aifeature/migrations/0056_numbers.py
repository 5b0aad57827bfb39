import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Sums for the six numbers, and audited answers."""

    dependencies = [
        ("aifeature", "0055_people_indexes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AddField(
            model_name="healthreading",
            name="since",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="When this level began.",
            ),
        ),
        migrations.CreateModel(
            name="NumberSlot",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("span_s", models.PositiveIntegerField(help_text="300 or 3600.")),
                ("starts_at", models.DateTimeField()),
                ("feature", models.CharField(max_length=40)),
                (
                    "prompt_version",
                    models.CharField(blank=True, db_default="", default="", max_length=16),
                ),
                ("model", models.CharField(blank=True, db_default="", default="", max_length=80)),
                (
                    "stage",
                    models.CharField(
                        help_text="Of the feature, when the request was submitted.", max_length=8
                    ),
                ),
                (
                    "ended",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        help_text="With a result, or with an error that counts.",
                    ),
                ),
                ("failed", models.PositiveIntegerField(db_default=0, default=0)),
                (
                    "slow",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Of those with a latency, longer than 10 s.",
                    ),
                ),
                ("degraded", models.PositiveIntegerField(db_default=0, default=0)),
                (
                    "fallbacks",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Answered by another model than the route's first.",
                    ),
                ),
                (
                    "others",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Ended by a person, a limit or a switch: in no rate.",
                    ),
                ),
                (
                    "latency",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), db_default=[], default=list, size=None
                    ),
                ),
                (
                    "wait",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), db_default=[], default=list, size=None
                    ),
                ),
                (
                    "ttft",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), db_default=[], default=list, size=None
                    ),
                ),
                ("calls", models.PositiveIntegerField(db_default=0, default=0)),
                ("refusals", models.PositiveIntegerField(db_default=0, default=0)),
                ("input_tokens", models.BigIntegerField(db_default=0, default=0)),
                ("output_tokens", models.BigIntegerField(db_default=0, default=0)),
                ("cache_read_tokens", models.BigIntegerField(db_default=0, default=0)),
                ("cache_write_tokens", models.BigIntegerField(db_default=0, default=0)),
                ("spend_micro", models.BigIntegerField(db_default=0, default=0)),
                ("cache_saved_micro", models.BigIntegerField(db_default=0, default=0)),
                ("votes", models.PositiveIntegerField(db_default=0, default=0)),
                ("votes_down", models.PositiveIntegerField(db_default=0, default=0)),
                ("guard_hits", models.PositiveIntegerField(db_default=0, default=0)),
            ],
            options={
                "indexes": [
                    models.Index(
                        fields=["feature", "span_s", "starts_at"], name="number_slot_of_feature"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=(
                            "span_s",
                            "starts_at",
                            "feature",
                            "prompt_version",
                            "model",
                            "stage",
                        ),
                        name="number_slot_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SummedTime",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False),
                ),
                ("begins", models.DateTimeField()),
                ("ends", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="UserCostDay",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("feature", models.CharField(max_length=40)),
                ("day", models.DateField()),
                ("users", models.PositiveIntegerField()),
                ("spend_micro", models.BigIntegerField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("feature", "day"), name="user_cost_day_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditedAnswer",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("feature", models.CharField(max_length=40)),
                ("week", models.DateField(help_text="The Monday of the sample, in UTC.")),
                (
                    "sample",
                    models.PositiveSmallIntegerField(
                        help_text="1: the weekly sample. 2: more, because the first one was bad."
                    ),
                ),
                (
                    "label",
                    models.CharField(
                        choices=[
                            ("waiting", "Not read yet"),
                            ("grounded", "Grounded"),
                            ("hallucinated", "Hallucinated"),
                            ("unclear", "Unclear"),
                        ],
                        default="waiting",
                        max_length=12,
                    ),
                ),
                ("labelled_at", models.DateTimeField(blank=True, null=True)),
                ("note", models.TextField(blank=True, default="")),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="audit",
                        to="aifeature.job",
                    ),
                ),
                (
                    "labelled_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["feature", "-week"], name="audit_of_week")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("label", "waiting"), ("labelled_at__isnull", True)),
                            models.Q(
                                models.Q(("label", "waiting"), _negated=True),
                                ("labelled_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="audit_labelled_at_a_time",
                    )
                ],
            },
        ),
        *sql.load("content_purge"),
    ]
