from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("evals", "0003_driven_at")]

    operations = [
        migrations.AddField(
            model_name="sample",
            name="repaired",
            field=models.BooleanField(
                help_text="Its first answer was invalid, so that a further call was made;"
                " empty: unknown.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="sample",
            name="first_model",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="That gave the first answer, valid or not; empty: unknown.",
                max_length=80,
            ),
        ),
    ]
