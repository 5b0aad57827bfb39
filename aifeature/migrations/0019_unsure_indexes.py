from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Calls whose bill is not sure, and those that need a person. Built while jobs run.

    Not in a transaction, for the indexes. If it is broken off, drop the indexes `attempt_unsure` and
    `attempt_to_settle` as far as they exist and migrate again.
    """

    atomic = False
    dependencies = [("aifeature", "0018_guards_of_bills")]
    operations = [
        AddIndexConcurrently(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("state__in", ["estimated", "unknown"])),
                fields=["started_at"],
                name="attempt_unsure",
            ),
        ),
        AddIndexConcurrently(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("own_spend", False), ("state", "unknown")),
                fields=["feature"],
                name="attempt_to_settle",
            ),
        ),
    ]
