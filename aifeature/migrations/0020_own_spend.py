from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """What a user's calls may cost is counted and capped, charged or not; shown text is charged.

    Processes of the release before call the same functions. What they cancel has no author, so it
    is never charged. The functions come with the sums, in one transaction.
    """

    dependencies = [("aifeature", "0019_unsure_indexes")]
    operations = [
        migrations.AddField(
            model_name="spendwindow",
            name="own_spend_micro",
            field=models.BigIntegerField(db_default=0, default=0),
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
        *sql.load("windows", "settle_attempt", "begin_attempt", "accounts"),
    ]
