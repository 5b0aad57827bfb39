from django.db import migrations, models


class Migration(migrations.Migration):
    """Plain answers, answers that wait for a person, why a call went to its model, cache savings.

    0042 loads the functions that use these columns, because each function is loaded as it is today:
    with a column that comes later, it would fail in between. Jobs come before attempts, as in the
    functions.
    """

    dependencies = [("aifeature", "0039_copy_wait_reasons")]
    operations = [
        migrations.AddField(
            model_name="job",
            name="degraded",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="The result is the feature's plain answer, made without a model.",
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="approval_reason",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Why a person must decide about the answer. Not shown to the user.",
                max_length=200,
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="approval_expires_at",
            field=models.DateTimeField(
                help_text="When the job fails if no person has decided.", null=True
            ),
        ),
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
    ]
