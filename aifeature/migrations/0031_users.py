import django.db.models.functions.datetime
from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Failed requests have a reference, and a cancelled job keeps text of an interrupted run."""

    dependencies = [("aifeature", "0030_refuse")]

    operations = [
        migrations.CreateModel(
            name="WebFailure",
            fields=[
                (
                    "reference",
                    models.CharField(max_length=12, primary_key=True, serialize=False),
                ),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), db_index=True
                    ),
                ),
                ("status", models.SmallIntegerField(help_text="HTTP status of the answer.")),
                (
                    "method",
                    models.CharField(blank=True, db_default="", default="", max_length=8),
                ),
                (
                    "place",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="The pattern of the address, without ids. Empty: no page has it.",
                        max_length=200,
                    ),
                ),
                (
                    "code",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Why: the code of a refusal, or the type of an exception.",
                        max_length=80,
                    ),
                ),
                (
                    "where",
                    models.TextField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Frames of the exception's traceback.",
                    ),
                ),
            ],
            options={"verbose_name": "web failure", "ordering": ("-at",)},
        ),
        *sql.load("cancel", "finish"),
    ]
