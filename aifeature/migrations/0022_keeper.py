from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """A locked row holds nobody up: short waits for locks, and takeovers only from dead workers.

    Functions that processes of the release before call keep their names and arguments.
    """

    dependencies = [("aifeature", "0021_user_spend_cap")]
    operations = [
        migrations.AddField(
            model_name="worker",
            name="queue",
            field=models.CharField(db_default="llm", default="llm", max_length=16),
        ),
        migrations.AlterField(
            model_name="worker",
            name="seen_at",
            field=models.DateTimeField("last seen", help_text="Every second while it lives."),
        ),
        *sql.load(
            *("dispatch", "lease", "claim", "overdue", "finish", "cancel", "submit", "calls"),
            *("load", "stopped", "trip", "reconcile", "settle_unknown", "content_purge"),
        ),
    ]
