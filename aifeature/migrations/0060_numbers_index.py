from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Jobs of users by their end, for the sums of the six numbers. Built while jobs run.

    By itself, since it cannot be part of a transaction. If it is broken off, drop the index
    `job_ended_of_users`, and migrate again.
    """

    atomic = False
    dependencies = [("aifeature", "0059_demo")]
    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                models.OrderBy(models.F("finished_at"), descending=True),
                condition=models.Q(("finished_at__isnull", False), ("origin", "user")),
                name="job_ended_of_users",
            ),
        ),
    ]
