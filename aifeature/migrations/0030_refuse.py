from django.db import migrations, models
from django.db.models.functions import Now

from aifeature import sql


class Migration(migrations.Migration):
    """An outage loses no answer; probes write; jobs that nobody starts are found."""

    dependencies = [("aifeature", "0029_access")]
    operations = [
        migrations.AddField(
            model_name="worker",
            name="resumed_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When it was seen again after a gap of seconds.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="Probe",
            fields=[
                ("id", models.IntegerField(primary_key=True, serialize=False)),
                ("written_at", models.DateTimeField(db_default=Now())),
                ("filler", models.TextField(db_default="", default="")),
            ],
            options={"default_permissions": ()},
        ),
        *sql.load("claim", "dispatch", "stalled", "probe"),
    ]
