from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("evals", "0003_driven_at")]

    operations = [
        migrations.AddField(
            model_name="sample",
            name="repaired",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Its first answer was invalid, and was sent back with the error.",
            ),
        ),
    ]
