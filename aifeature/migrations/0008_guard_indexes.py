from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):
    """A job is requeued once, and who settled calls is found at once. Built while jobs go on."""

    atomic = False
    dependencies = [
        ("aifeature", "0007_guards"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        AddIndexConcurrently(
            model_name="attempt",
            index=models.Index(
                condition=models.Q(("settled_by__isnull", False)),
                fields=["settled_by"],
                name="attempt_settled_by",
            ),
        ),
        migrations.RunSQL(
            "CREATE UNIQUE INDEX CONCURRENTLY job_requeued_once"
            " ON aifeature_job (requeued_from_id) WHERE requeued_from_id IS NOT NULL",
            "DROP INDEX CONCURRENTLY job_requeued_once",
            state_operations=[
                migrations.AddConstraint(
                    model_name="job",
                    constraint=models.UniqueConstraint(
                        condition=models.Q(("requeued_from__isnull", False)),
                        fields=("requeued_from",),
                        name="job_requeued_once",
                    ),
                ),
            ],
        ),
        ValidateConstraint(model_name="job", name="job_charged_only_for_an_answer"),
    ]
