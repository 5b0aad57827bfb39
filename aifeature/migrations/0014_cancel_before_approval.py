from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """A cancellation outruns an answer that waits for approval; plans are kept.

    Processes of the release before call the same functions by the same arguments.
    """

    dependencies = [("aifeature", "0013_open_calls")]
    operations = sql.load("windows", "paused", "finish")
