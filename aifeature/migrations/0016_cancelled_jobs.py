from django.db import migrations, models


class Migration(migrations.Migration):
    """A job says who cancelled it, and what its user had been shown by then.

    One table in each of these migrations: jobs, calls and windows are locked in turn, so that none
    waits for what a running call holds while it keeps another from it.
    """

    dependencies = [("aifeature", "0015_submit")]
    operations = [
        migrations.AddField(
            model_name="job",
            name="cancelled_by",
            field=models.CharField(
                blank=True,
                choices=[
                    ("user", "User"),
                    ("staff", "Staff"),
                    ("switch", "Switch"),
                    ("deadline", "Deadline"),
                    ("erasure", "Erasure"),
                ],
                db_default="",
                default="",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="partial_text",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="What the user had been shown of the answer when they cancelled it.",
            ),
        ),
    ]
