from django.db import migrations, models


class Migration(migrations.Migration):
    """The state of the provider account, and what the code defined last for the schedule."""

    dependencies = [
        ("aifeature", "0027_answers"),
    ]

    operations = [
        migrations.CreateModel(
            name="ScheduleDefault",
            fields=[
                ("name", models.CharField(max_length=200, primary_key=True, serialize=False)),
                (
                    "defined",
                    models.JSONField(db_default={}, default=dict, help_text="Words by column."),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ProviderAccount",
            fields=[
                (
                    "account",
                    models.CharField(
                        help_text="The provider and a fingerprint of the key.",
                        max_length=80,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "stopped_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="Since when it refuses every call. Empty: it is well.",
                        null=True,
                    ),
                ),
                (
                    "code",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Of the calls.",
                        max_length=40,
                        verbose_name="error code",
                    ),
                ),
                (
                    "detail",
                    models.TextField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Status and type of the error.",
                    ),
                ),
                (
                    "failed_probes",
                    models.PositiveIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Probes in a row that the account failed.",
                    ),
                ),
                (
                    "probe_until",
                    models.DateTimeField(
                        blank=True,
                        help_text="A probe is under way until then at the latest.",
                        null=True,
                    ),
                ),
                ("next_probe_at", models.DateTimeField(blank=True, null=True)),
                (
                    "tried_at",
                    models.DateTimeField(
                        blank=True, help_text="When a probe ended last.", null=True
                    ),
                ),
            ],
            options={
                "verbose_name": "provider account",
            },
        ),
    ]
