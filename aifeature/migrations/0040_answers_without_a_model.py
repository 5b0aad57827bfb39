from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Why a call went to its model, what the prompt cache saved, and plain answers."""

    dependencies = [("aifeature", "0039_copy_wait_reasons")]
    operations = [
        migrations.AddField(
            model_name="attempt",
            name="reason",
            field=models.CharField(
                blank=True, db_default="", default="", help_text="Why this model.", max_length=200
            ),
        ),
        migrations.AddField(
            model_name="attempt",
            name="cache_saved_micro",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                help_text="Micro-dollars that the provider's prompt cache saved; negative for a call that only wrote to it.",
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="degraded",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="The result is the feature's plain answer, made without a model.",
            ),
        ),
        *sql.load("begin_attempt", "settle_attempt", "finish", "guards"),
    ]
