from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """An estimated call is settled like an unknown one. The indexes are built while jobs run.

    Not in a transaction, for the indexes. If it is broken off, drop the indexes `attempt_unsure` and
    `attempt_to_settle` as far as they exist and migrate again.
    """

    atomic = False
    dependencies = [("aifeature", "0017_own_spend")]
    operations = [
        *sql.load("guards", "settle_unknown"),
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
