from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Probes are calls with a purpose of their own.

    They and calls that failed no longer count in the mean length of a call, by which submissions
    are refused as overload: after an outage it would be that of time-outs.
    """

    dependencies = [("aifeature", "0023_spike")]
    operations = [
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
        *sql.load("load"),
    ]
