from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("evals", "0002_judge_model")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="driven_at",
            field=models.DateTimeField(
                help_text="When a command last worked on it, by the clock of the database.",
                null=True,
            ),
        ),
    ]
