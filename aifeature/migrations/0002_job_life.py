from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """The hot transitions of a job, as SQL functions."""

    dependencies = [("aifeature", "0001_jobs_and_ledger")]
    operations = sql.load(
        "windows", "settle_attempt", "claim", "begin_attempt", "finish", "lease", "cancel"
    )
