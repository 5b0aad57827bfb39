from django.db import migrations, models


class Migration(migrations.Migration):
    """A call may end as estimated, count as its user's own spend, and be a probe.

    `state` becomes wider before any process writes the longer word.
    """

    dependencies = [("aifeature", "0016_cancelled_jobs")]
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
            model_name="attempt",
            name="purpose",
            field=models.CharField(
                choices=[
                    ("generation", "Generation"),
                    ("repair", "Repair"),
                    ("escalation", "Escalation"),
                    ("chunk", "Chunk"),
                    ("moderation", "Moderation"),
                    ("judge", "Judge"),
                    ("poc", "Poc"),
                    ("eval", "Eval"),
                    ("probe", "Probe"),
                ],
                max_length=16,
            ),
        ),
    ]
