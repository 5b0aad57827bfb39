from django.db import migrations, models
from django.db.models.functions import Now

from aifeature import sql


class Migration(migrations.Migration):
    """Who watches the checks and the workers, and a guard of the schedule of protected checks."""

    dependencies = [
        ("aifeature", "0023_switch"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.CreateModel(
            name="Watch",
            fields=[
                ("name", models.CharField(max_length=120, primary_key=True, serialize=False)),
                (
                    "since",
                    models.DateTimeField(
                        db_default=Now(),
                        help_text="Of `turn`: when the watching began, after its last gap.",
                    ),
                ),
                ("seen_at", models.DateTimeField(db_default=Now())),
                (
                    "alive_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="Of a queue: when a live worker was last seen.",
                        null=True,
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="checkrun",
            name="completed_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When it last ran to its end, whatever it found.",
                null=True,
            ),
        ),
        *sql.load("watch", "schedule_guard"),
    ]
