from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """What has content, oldest first. Built while jobs are submitted and run, without a lock.

    By itself, since it cannot be part of a transaction. If it is broken off, drop the index
    `job_with_content` and migrate again.
    """

    atomic = False
    dependencies = [("aifeature", "0009_retention")]
    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                condition=models.Q(
                    ("content_blanked_at__isnull", True), ("finished_at__isnull", False)
                ),
                fields=["feature", "finished_at"],
                name="job_with_content",
            ),
        ),
    ]
