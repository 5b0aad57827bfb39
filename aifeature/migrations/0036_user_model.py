from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """SQL takes the user table and the type of its key from AUTH_USER_MODEL."""

    dependencies = [("aifeature", "0035_change_of_model")]
    operations = [
        *sql.load("active_user", "content_purge", "cancel", "claim", "closed_accounts", "dispatch"),
        *sql.load("lease", "load", "paused", "settle_unknown", "submit", "switch", "windows"),
    ]
