from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Operators may cap what one user's calls cost, charged or not."""

    dependencies = [("aifeature", "0020_own_spend")]
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
    ]
