from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Jobs that wait for approval, by their expiry. Built while jobs are submitted and run.

    By itself, since it cannot be part of a transaction. If it is broken off, drop the index
    `job_awaits_approval` and migrate again.
    """

    atomic = False
    dependencies = [("aifeature", "0040_answers_in_review_and_plain")]
    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                condition=models.Q(("status", "needs_approval")),
                fields=["approval_expires_at"],
                name="job_awaits_approval",
            ),
        ),
    ]
