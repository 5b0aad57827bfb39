from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Answers that wait for a person's approval: their reason and their expiry, and no charge."""

    dependencies = [("aifeature", "0040_answers_without_a_model")]
    operations = [
        migrations.AddField(
            model_name="job",
            name="approval_reason",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Why a person must decide about the answer. Not shown to the user.",
                max_length=200,
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="approval_expires_at",
            field=models.DateTimeField(
                help_text="When the job fails if no person has decided.", null=True
            ),
        ),
        *sql.load("guards", "finish", "overdue", "closed_accounts", "stopped", "content_purge"),
    ]
