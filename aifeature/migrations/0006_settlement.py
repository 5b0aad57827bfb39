import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Calls of unknown outcome are settled by a person; a failed job's input may run again.

    `finish` ends a job in one UPDATE. It stands before the guards, which refuse a second one.
    """

    dependencies = [
        ("aifeature", "0005_dispatch_indexes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        # First, as in all traffic: who locks the job last may wait for who waits for them.
        migrations.AddField(
            model_name="job",
            name="requeued_from",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="requeued",
                to="aifeature.job",
            ),
        ),
        migrations.AddField(
            model_name="attempt",
            name="settled_by",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="attempt",
            name="settled_reason",
            field=models.TextField(
                blank=True, db_default="", default="", help_text="How it was found out."
            ),
        ),
        migrations.AddField(
            model_name="attempt",
            name="settled_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterModelOptions(
            name="attempt",
            options={
                "permissions": (("settle_attempt", "Can settle a call whose end nobody saw"),)
            },
        ),
        migrations.AlterModelOptions(
            name="job",
            options={"permissions": (("requeue_job", "Can run the input of a failed job again"),)},
        ),
        *sql.load("finish", "settle_unknown"),
    ]
