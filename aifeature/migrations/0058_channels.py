import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Channels of alerts, deliveries, silences, and who handles an alert."""

    dependencies = [
        ("aifeature", "0057_alarms"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AlterModelOptions(
            name="alert",
            options={
                "ordering": ("-opened_at", "-id"),
                "permissions": (("handle_alert", "Can acknowledge, assign and silence alerts"),),
            },
        ),
        migrations.AddField(
            model_name="alert",
            name="acknowledged_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="alert",
            name="acknowledged_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="alert",
            name="assigned_to",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="alert",
            name="escalated_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.CreateModel(
            name="AlertChannel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=60, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("webhook", "Webhook (signed)"),
                            ("apprise", "E-mail, Slack, pager and others (Apprise)"),
                        ],
                        max_length=8,
                    ),
                ),
                ("address", models.TextField(help_text="Encrypted with the secret key.")),
                (
                    "secret",
                    models.TextField(
                        blank=True,
                        default="",
                        help_text="Of a webhook, to sign its requests. Encrypted.",
                    ),
                ),
                (
                    "shown",
                    models.CharField(help_text="The address without its secrets.", max_length=200),
                ),
                ("is_enabled", models.BooleanField(db_default=True, default=True)),
                (
                    "is_escalation",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Only alerts that nobody acknowledged in time go here.",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "next_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="Before this time it is in use, or waits after a failure.",
                    ),
                ),
                ("failing_since", models.DateTimeField(blank=True, null=True)),
                (
                    "failures",
                    models.PositiveIntegerField(default=0, help_text="Since the last success."),
                ),
                ("problem", models.CharField(blank=True, default="", max_length=300)),
                (
                    "sent_at",
                    models.DateTimeField(blank=True, help_text="When it last worked.", null=True),
                ),
                (
                    "created_by",
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
                "ordering": ("name",),
                "permissions": (("send_test_alert", "Can send a test alert"),),
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "message_id",
                    models.UUIDField(
                        default=uuid.uuid4,
                        help_text="Of each try: a receiver finds repeated messages by it.",
                    ),
                ),
                (
                    "event",
                    models.CharField(
                        choices=[
                            ("begin", "Begin"),
                            ("end", "End"),
                            ("escalation", "Escalation"),
                            ("summary", "Summary"),
                            ("test", "Test"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("silenced", "Silenced"),
                            ("sent", "Sent"),
                            ("grouped", "In a summary"),
                            ("skipped", "Skipped"),
                            ("given_up", "Given up"),
                        ],
                        default="waiting",
                        max_length=8,
                    ),
                ),
                (
                    "carried_by",
                    models.ForeignKey(
                        help_text="The summary that names this alert.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="carried",
                        to="aifeature.delivery",
                    ),
                ),
                ("tries", models.PositiveSmallIntegerField(default=0)),
                (
                    "next_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="Earliest time of the next try.",
                    ),
                ),
                ("problem", models.CharField(blank=True, default="", max_length=300)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "alert",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="aifeature.alert",
                    ),
                ),
                (
                    "channel",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="aifeature.alertchannel",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "deliveries",
                "ordering": ("-id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["waiting", "silenced"])),
                        fields=["state", "next_at"],
                        name="delivery_open",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("alert__isnull", False)),
                        fields=("channel", "alert", "event"),
                        name="delivery_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Silence",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(max_length=40)),
                ("subject", models.CharField(max_length=120)),
                ("until", models.DateTimeField()),
                ("reason", models.TextField()),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("lifted_at", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(fields=["kind", "subject", "-until"], name="silence_of_alert")
                ],
            },
        ),
        # The tasks of alerts, numbers and rollouts are protected.
        *sql.load("schedule_guard"),
    ]
