from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """A moderation call of a job does not count the call that it moderates."""

    dependencies = [("aifeature", "0047_guard_events")]

    operations = [*sql.load("begin_attempt")]
