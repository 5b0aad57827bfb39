import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """Tokens expire and have a scope, sessions name their user, closed accounts pay for nothing.

    The release before issues tokens that do all and never expire, as it did.
    """

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("aifeature", "0028_account"),
    ]
    operations = [
        migrations.AddField(
            model_name="apitoken",
            name="expires_at",
            field=models.DateTimeField(
                blank=True,
                help_text="In UTC. Empty: never.",
                null=True,
                verbose_name="expires",
            ),
        ),
        migrations.AddField(
            model_name="apitoken",
            name="may_submit",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="Submit and cancel jobs. Without it the token only reads.",
                verbose_name="may submit",
            ),
        ),
        migrations.AddField(
            model_name="apitoken",
            name="features",
            field=models.JSONField(
                blank=True,
                editable=False,
                help_text="Slugs it may use; NULL: every feature.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="SignIn",
            fields=[
                (
                    "session_key",
                    models.CharField(max_length=40, primary_key=True, serialize=False),
                ),
                (
                    "browser",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Such as Firefox on Linux.",
                        max_length=60,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sign_ins",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"ordering": ("-created_at",), "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="SignInCount",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("tries", models.IntegerField(db_default=0, default=0)),
                (
                    "until",
                    models.DateTimeField(
                        db_index=True, help_text="When it counts from zero again."
                    ),
                ),
            ],
            options={"default_permissions": ()},
        ),
        migrations.AlterField(
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
                    ("account", "Account closed"),
                ],
                db_default="",
                default="",
                max_length=8,
            ),
        ),
        *sql.load("closed_accounts", "begin_attempt", "sign_in"),
    ]
