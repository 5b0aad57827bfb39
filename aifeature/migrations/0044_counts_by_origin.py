from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Counts of a day by origin, from the index alone. Built while jobs run.

    By itself, since it cannot be part of a transaction. If it is broken off, drop the index
    `job_day_by_origin`, and migrate again.
    """

    atomic = False
    dependencies = [("aifeature", "0043_indexes_by_origin")]
    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                models.F("created_at").desc(),
                models.F("id").desc(),
                include=["feature", "status", "finished_at", "origin"],
                name="job_day_by_origin",
            ),
        ),
        RemoveIndexConcurrently(model_name="job", name="job_day"),
    ]
