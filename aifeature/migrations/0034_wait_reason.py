from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Why a job waits gets a column of its own, beside why it failed.

    Processes of the release before read the reason in `error_code`: the trigger `job_guard` keeps
    it there too while a job waits or runs. The release after this one may drop that copy.
    """

    dependencies = [("aifeature", "0033_truncate_guards")]
    operations = [
        migrations.AddField(
            model_name="job",
            name="wait_reason",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text=(
                    "Why it waits, or waited before its present run; empty once it has ended."
                ),
                max_length=64,
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="error_code",
            field=models.CharField(
                blank=True, db_default="", default="", help_text="Why it failed.", max_length=64
            ),
        ),
        *sql.load("guards", "finish", "claim", "lease", "load", "overdue", "stopped"),
        # A row that somebody has locked is left without its reason: its next run tells a new one.
        migrations.RunSQL(
            "UPDATE aifeature_job t SET wait_reason = t.error_code"
            " FROM (SELECT j.id FROM aifeature_job j"
            "        WHERE j.status IN ('queued', 'running') AND j.error_code <> ''"
            "          FOR NO KEY UPDATE SKIP LOCKED) waiting"
            " WHERE t.id = waiting.id",
            migrations.RunSQL.noop,
        ),
    ]
