from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """The calls of a user that are under way. Built while jobs run, without a lock.

    By itself, since it cannot be part of a transaction. If it is broken off, drop the index
    `attempt_open` and migrate again.
    """

    atomic = False
    dependencies = [("aifeature", "0012_spend_and_load")]
    operations = [
        AddIndexConcurrently(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("state", "started")),
                fields=["feature", "user"],
                name="attempt_open",
            ),
        ),
    ]
