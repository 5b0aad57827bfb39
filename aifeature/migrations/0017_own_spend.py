from django.db import migrations, models
from django.db.models import Q

from aifeature import sql


class Migration(migrations.Migration):
    """What a user's cancelled calls may cost is counted and capped; shown text is charged.

    Processes of the release before call the same functions. What they cancel has no author, so it
    is never charged.
    """

    dependencies = [("aifeature", "0016_bill_shapes")]
    operations = [
        migrations.AddField(
            model_name="featurecontrol",
            name="user_daily_spend_usd",
            field=models.DecimalField(
                blank=True,
                decimal_places=2,
                help_text="What one user may cost us in one UTC day, charged or not. Empty: twice"
                " what they may be charged.",
                max_digits=10,
                null=True,
            ),
        ),
        migrations.AddConstraint(
            model_name="featurecontrol",
            constraint=models.CheckConstraint(
                condition=Q(user_daily_spend_usd__isnull=True) | Q(user_daily_spend_usd__gte=0),
                name="control_user_spend_not_negative",
            ),
        ),
        *sql.load(
            *("windows", "accounts", "settle_attempt", "begin_attempt", "finish", "cancel"),
            *("stopped", "guards", "blanking", "reconcile", "settle_unknown"),
        ),
    ]
