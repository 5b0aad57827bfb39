from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """What the dispatcher looks for, each found by its own index. Built while jobs go on."""

    atomic = False
    dependencies = [
        ("aifeature", "0004_dispatch"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                condition=models.Q(("status", "queued")),
                fields=["deadline_at"],
                name="job_overdue",
            ),
        ),
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                condition=models.Q(("published_at", None), ("status", "queued")),
                fields=["feature", "user", "run_at"],
                name="job_waiting",
            ),
        ),
        AddIndexConcurrently(
            model_name="job",
            index=models.Index(
                condition=models.Q(("published_at__isnull", False), ("status", "queued")),
                fields=["published_at"],
                name="job_published",
            ),
        ),
    ]
