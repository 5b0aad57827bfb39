from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("evals", "0001_runs")]

    operations = [
        migrations.AddField(
            model_name="sample",
            name="judge_model",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="That gave the judgement.",
                max_length=80,
            ),
        ),
    ]
