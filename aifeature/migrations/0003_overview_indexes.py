from django.db import migrations, models


class Migration(migrations.Migration):
    """A day's jobs are counted from an index alone, and the latest failures found without a scan.

    The new index of the newest jobs stands before the old one goes, so no list is slow between.
    """

    dependencies = [("aifeature", "0002_job_life")]
    operations = [
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.OrderBy(models.F("created_at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                include=("feature", "status", "finished_at"),
                name="job_day",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.OrderBy(models.F("finished_at"), descending=True),
                condition=models.Q(("status", "failed")),
                name="job_failed",
            ),
        ),
        migrations.RemoveIndex(model_name="job", name="job_newest"),
    ]
