import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """The mark of synthetic data."""

    dependencies = [
        ("aifeature", "0058_channels"),
    ]
    operations = [
        migrations.CreateModel(
            name="DemoData",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False),
                ),
                (
                    "loaded_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "ended_loading_at",
                    models.DateTimeField(help_text="Empty: loading broke off.", null=True),
                ),
                ("facts", models.JSONField(default=dict, help_text="Rows by table, and seconds.")),
            ],
            options={
                "default_permissions": (),
            },
        ),
    ]
