from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """The kill switch is flipped by functions of its own, and waits a second at most for a lock.

    Processes of the release before flip it as they did.
    """

    dependencies = [("aifeature", "0022_keeper")]
    operations = sql.load("switch")
