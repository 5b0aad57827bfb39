from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """Triggers that know estimated calls, shown text and who cancelled a job."""

    dependencies = [("aifeature", "0017_unsure_calls")]
    operations = [
        *sql.load("guards", "guard_triggers"),
    ]
