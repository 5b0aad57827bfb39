from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Jobs of canaries, for their figures. Built while jobs run.

    By itself, since it cannot be part of a transaction. If it is broken off, drop the index
    `job_in_canary`, and migrate again.
    """

    atomic = False
    dependencies = [("aifeature", "0053_shadows")]
    operations = [
        migrations.AlterField(
            model_name="job",
            name="options",
            field=models.JSONField(
                help_text="Of an evaluation: the prompt version, and what makes a repeat unique. Of a user: what the guards of its input decided, and its step and arm in a canary.",
                null=True,
            ),
        ),
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                fields=["feature", "created_at"],
                condition=models.Q(("options__has_key", "canary")),
                name="job_in_canary",
            ),
        ),
    ]
