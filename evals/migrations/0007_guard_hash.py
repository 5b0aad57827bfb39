from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("evals", "0006_weeklyrun")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="guard_hash",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Of the policies of the guards; empty before there were any.",
                max_length=64,
            ),
        ),
    ]
