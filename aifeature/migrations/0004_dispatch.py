from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """A window of jobs is out at once, filled by turns; jobs end without a worker if they must."""

    dependencies = [("aifeature", "0003_overview_indexes")]
    operations = [
        migrations.CreateModel(
            name="DispatchTurn",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False),
                ),
                ("feature", models.CharField(blank=True, max_length=40)),
                ("user_id", models.BigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                ("name", models.CharField(max_length=200, primary_key=True, serialize=False)),
                (
                    "slots",
                    models.PositiveIntegerField(
                        help_text="Jobs it runs at once; 0 while it is stopping.",
                        verbose_name="threads",
                    ),
                ),
                (
                    "seen_at",
                    models.DateTimeField(
                        help_text="Every five seconds while it lives.", verbose_name="last seen"
                    ),
                ),
            ],
        ),
        migrations.AlterField(
            model_name="job",
            name="published_at",
            field=models.DateTimeField(
                help_text="Last handed to the broker; empty while it waits for its turn.", null=True
            ),
        ),
        *sql.load("dispatch", "overdue", "finish"),
    ]
