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
    ]
