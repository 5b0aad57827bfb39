import django.db.models.functions.datetime
from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Content is deleted after a while, ticks are taken once, a closed account submits nothing.

    Every new column may be NULL and every new function has a new name, so that processes of the
    release before run on beside it.
    """

    dependencies = [("aifeature", "0008_guard_indexes")]
    operations = [
        # First, as in all traffic: who locks the job last may wait for who waits for them.
        migrations.AddField(
            model_name="job",
            name="content_blanked_at",
            field=models.DateTimeField(
                help_text="When input, result and the content of its calls were deleted.", null=True
            ),
        ),
        migrations.CreateModel(
            name="TickSlot",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("task", models.CharField(max_length=100)),
                ("slot", models.DateTimeField(help_text="When the slot began.")),
                (
                    "claimed_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="tickslot",
            constraint=models.UniqueConstraint(fields=("task", "slot"), name="tick_slot_once"),
        ),
        migrations.AddField(
            model_name="featurecontrol",
            name="retention_days",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Empty: as the code says.",
                null=True,
                verbose_name="content kept (days)",
            ),
        ),
        migrations.AddConstraint(
            model_name="featurecontrol",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("retention_days__isnull", True),
                    ("retention_days__range", (1, 3650)),
                    _connector="OR",
                ),
                name="control_retention_in_range",
            ),
        ),
        *sql.load("content_purge", "active_user", "active_user_trigger"),
    ]
