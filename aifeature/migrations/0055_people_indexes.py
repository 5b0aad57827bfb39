from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Indexes of the page about people. Built while jobs run.

    By itself, since it cannot be part of a transaction. If it is broken off, drop those of its
    indexes that exist, and migrate again.
    """

    atomic = False
    dependencies = [("aifeature", "0054_canary_index")]
    operations = [
        AddIndexConcurrently(
            model_name="guardevent",
            index=models.Index(
                condition=models.Q(
                    ("action__in", ["flagged", "tightened", "refused"]), ("stage", "input")
                ),
                fields=["-at"],
                name="guardevent_of_attacks",
            ),
        ),
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                models.OrderBy(models.F("finished_at"), descending=True),
                condition=models.Q(("cancelled_by", "user"), ("status", "cancelled")),
                name="job_cancelled_by_user",
            ),
        ),
        AddIndexConcurrently(
            model_name="spendwindow",
            index=models.Index(fields=["scope", "day"], name="spend_window_of_day"),
        ),
    ]
