import datetime  # noqa: ICN001 (as the migrations of Django write it)

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """The audit log of the guards. A job may be stored with its events and its options."""

    dependencies = [
        ("aifeature", "0046_evidence"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="job",
            name="options",
            field=models.JSONField(
                help_text="Of an evaluation: the prompt version, and what makes a repeat unique. Of a user: what the guards of its input decided.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="GuardEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("feature", models.CharField(max_length=40)),
                (
                    "stage",
                    models.CharField(
                        choices=[
                            ("input", "Input"),
                            ("answer", "Answer"),
                            ("stream", "Streamed text"),
                            ("guard", "Fault of the guard itself"),
                        ],
                        max_length=8,
                    ),
                ),
                ("guard", models.CharField(max_length=40)),
                ("category", models.CharField(max_length=40)),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("flagged", "Flagged"),
                            ("redacted", "Replaced by a placeholder"),
                            ("removed", "Removed"),
                            ("tightened", "Stricter rules for the answer"),
                            ("refused", "Refused"),
                            ("withheld", "Fallback shown instead"),
                            ("failed_open", "Guard failed; went on without it"),
                            ("failed_closed", "Guard failed; refused"),
                        ],
                        max_length=16,
                    ),
                ),
                ("count", models.PositiveIntegerField(db_default=1, default=1)),
                (
                    "evidence",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Words in which it was found, with personal data replaced.",
                        max_length=300,
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        help_text="Empty: the request was refused before it became a job.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="guard_events",
                        to="aifeature.job",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        help_text="Empty: a call of no user.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "guard event",
                "ordering": ("-at", "-id"),
                "indexes": [
                    models.Index(fields=["-at", "-id"], name="guardevent_newest"),
                    models.Index(fields=["user", "-at"], name="guardevent_of_user"),
                    models.Index(fields=["feature", "-at"], name="guardevent_of_feature"),
                    models.Index(fields=["category", "-at"], name="guardevent_of_category"),
                ],
            },
        ),
        migrations.AddConstraint(
            model_name="guardevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "at__range",
                        (
                            datetime.datetime(2000, 1, 1, 0, 0, tzinfo=datetime.UTC),
                            datetime.datetime(3000, 1, 1, 0, 0, tzinfo=datetime.UTC),
                        ),
                    )
                ),
                name="guardevent_time_is_finite",
            ),
        ),
        migrations.AddConstraint(
            model_name="guardevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "action__in",
                        [
                            "flagged",
                            "redacted",
                            "removed",
                            "tightened",
                            "refused",
                            "withheld",
                            "failed_open",
                            "failed_closed",
                        ],
                    ),
                    ("stage__in", ["input", "answer", "stream", "guard"]),
                ),
                name="guardevent_words_are_known",
            ),
        ),
        *sql.load("guard_events", "submit"),
        migrations.RunSQL(
            "CREATE OR REPLACE TRIGGER truncate_guard BEFORE TRUNCATE ON aifeature_guardevent"
            " FOR EACH STATEMENT EXECUTE FUNCTION aif_guard_truncate()",
            "DROP TRIGGER IF EXISTS truncate_guard ON aifeature_guardevent",
        ),
    ]
