import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """Actions about red numbers, and releases."""

    dependencies = [
        ("aifeature", "0056_numbers"),
    ]
    operations = [
        migrations.CreateModel(
            name="NumberRule",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("feature", models.CharField(max_length=40)),
                (
                    "number",
                    models.CharField(help_text="Such as `errors` or `latency`.", max_length=40),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("notify", "Only notify"),
                            ("roll_back", "Roll the prompt back"),
                            ("stop_ramp", "Stop the ramp"),
                            ("trip", "Pull the kill switch"),
                        ],
                        default="notify",
                        max_length=12,
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("feature", "number"), name="number_rule_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Release",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=80)),
                (
                    "replaces",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="The release before it. Empty: the first.",
                        max_length=80,
                    ),
                ),
                (
                    "began_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="When its first process started.",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["-began_at"], name="release_newest")],
            },
        ),
    ]
