from django.db import migrations, models


class Migration(migrations.Migration):
    """Spend that may never be billed stands apart in the sums by the hour.

    Processes of the release before leave it at 0 in the rows they make, and as it was in others;
    the next look sums these hours up again.
    """

    dependencies = [("aifeature", "0024_watch")]

    operations = [
        migrations.AddField(
            model_name="spendhour",
            name="phantom_micro",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                help_text="Of it at a ceiling: calls under way, and those whose cost is not known, unless their user ended them.",
            ),
        ),
    ]
