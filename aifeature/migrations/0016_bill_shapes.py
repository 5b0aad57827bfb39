from django.db import migrations, models


class Migration(migrations.Migration):
    """Columns for what a call may cost, who cancelled a job, and which queue a worker serves.

    `attempt.state` becomes wider before any process writes the longer word `estimated`.
    """

    dependencies = [
        ("aifeature", "0015_submit"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="own_spend",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Counts towards its user's spend cap: settled, or ended by the user's own cancellation.",
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="cancelled_by",
            field=models.CharField(
                blank=True,
                choices=[
                    ("user", "User"),
                    ("staff", "Staff"),
                    ("switch", "Switch"),
                    ("deadline", "Deadline"),
                    ("erasure", "Erasure"),
                ],
                db_default="",
                default="",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="partial_text",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="What the user had been shown of the answer when they cancelled it.",
            ),
        ),
        migrations.AddField(
            model_name="spendwindow",
            name="own_spend_micro",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="worker",
            name="queue",
            field=models.CharField(db_default="llm", default="llm", max_length=16),
        ),
        migrations.AlterField(
            model_name="attempt",
            name="cost_micro",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                help_text="Micro-dollars the provider bills; of an estimated call the most it can.",
            ),
        ),
        migrations.AlterField(
            model_name="attempt",
            name="state",
            field=models.CharField(
                choices=[
                    ("started", "Started"),
                    ("settled", "Settled"),
                    ("failed", "Failed"),
                    ("estimated", "Estimated"),
                    ("unknown", "Unknown"),
                ],
                db_default="started",
                default="started",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="spendhour",
            name="scope",
            field=models.CharField(
                choices=[
                    ("global", "Global"),
                    ("feature", "Feature"),
                    ("user", "User"),
                    ("account", "Account"),
                    ("month", "Month"),
                ],
                max_length=8,
            ),
        ),
        migrations.AlterField(
            model_name="spendwindow",
            name="key",
            field=models.CharField(
                help_text="'', the feature, feature:user id, or user id.", max_length=80
            ),
        ),
        migrations.AlterField(
            model_name="spendwindow",
            name="scope",
            field=models.CharField(
                choices=[
                    ("global", "Global"),
                    ("feature", "Feature"),
                    ("user", "User"),
                    ("account", "Account"),
                    ("month", "Month"),
                ],
                max_length=8,
            ),
        ),
    ]
