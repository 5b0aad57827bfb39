from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Why a job waits gets a column of its own, beside why it failed.

    Processes of the previous release read and write the reason in `error_code`: the trigger
    `job_guard` keeps both columns equal while a job waits or runs. The next release may drop that.
    0039 copies the reasons of jobs that wait now.
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
    ]
