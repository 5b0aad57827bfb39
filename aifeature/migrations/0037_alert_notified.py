from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """New names in Python; the columns `told_at` and `end_told_at` keep theirs."""

    dependencies = [("aifeature", "0036_user_model")]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex(model_name="alert", name="alert_to_tell"),
                migrations.RenameField("alert", "told_at", "notified_at"),
                migrations.RenameField("alert", "end_told_at", "end_notified_at"),
                migrations.AlterField(
                    model_name="alert",
                    name="notified_at",
                    field=models.DateTimeField(blank=True, db_column="told_at", null=True),
                ),
                migrations.AlterField(
                    model_name="alert",
                    name="end_notified_at",
                    field=models.DateTimeField(blank=True, db_column="end_told_at", null=True),
                ),
                migrations.AddIndex(
                    model_name="alert",
                    index=models.Index(
                        condition=Q(
                            ("notified_at", None),
                            Q(("closed_at__isnull", False), ("end_notified_at", None)),
                            _connector="OR",
                        ),
                        fields=["opened_at"],
                        name="alert_to_tell",
                    ),
                ),
            ],
        ),
    ]
