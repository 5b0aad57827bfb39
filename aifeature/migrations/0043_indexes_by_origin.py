from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Waiting jobs of users, and open jobs of all other origins. Built while jobs run.

    By itself, since it cannot be part of a transaction. If it is broken off, drop the indexes
    `job_waiting_users` and `job_open_others`, and migrate again.
    """

    atomic = False
    dependencies = [("aifeature", "0042_evaluations")]
    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                fields=["feature", "user", "run_at"],
                condition=models.Q(
                    ("origin", "user"), ("published_at", None), ("status", "queued")
                ),
                name="job_waiting_users",
            ),
        ),
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                fields=["run_at"],
                condition=models.Q(
                    ("status__in", ["queued", "running"]),
                    models.Q(("origin", "user"), _negated=True),
                ),
                name="job_open_others",
            ),
        ),
        RemoveIndexConcurrently(model_name="job", name="job_waiting"),
    ]
