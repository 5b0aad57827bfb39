from django.db import migrations, models


class Migration(migrations.Migration):
    """A change of a model's circuit breaker names the model in a column of its own."""

    dependencies = [("aifeature", "0034_wait_reason")]
    operations = [
        migrations.AddField(
            model_name="controlchange",
            name="model",
            field=models.CharField(blank=True, db_default="", default="", max_length=80),
        ),
        migrations.AlterField(
            model_name="controlchange",
            name="feature",
            field=models.CharField(
                blank=True, help_text="Empty if it is of a model.", max_length=40
            ),
        ),
    ]
