from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Jobs of evaluations: their origin, their options, their own budget and queue.

    It also loads the functions for the columns of 0040.
    """

    dependencies = [("aifeature", "0041_approval_index")]
    operations = [
        migrations.AddField(
            model_name="job",
            name="origin",
            field=models.CharField(
                choices=[("user", "User"), ("eval", "Evaluation")],
                db_default="user",
                default="user",
                help_text="A user, or an evaluation.",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="options",
            field=models.JSONField(
                help_text="Of an evaluation: the prompt version, and what makes a repeat unique.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="attempt",
            name="budget",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Whose day's budget pays; empty: the feature's own.",
                max_length=40,
            ),
        ),
        *sql.load("windows", "begin_attempt", "settle_attempt", "settle_unknown", "reconcile"),
        *sql.load("guards", "claim", "submit", "dispatch", "load", "stalled", "closed_accounts"),
        *sql.load("finish", "overdue", "stopped", "content_purge"),
    ]
