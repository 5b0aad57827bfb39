from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """The database decides in one statement whether a job is accepted.

    Processes of the release before insert on their own, as they did.
    """

    dependencies = [("aifeature", "0014_cancel_before_approval")]
    operations = sql.load("submit")
