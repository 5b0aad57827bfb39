from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """A stop of what is stopped changes nothing; its reason is changed by a function of its own.

    The release before calls `aif_switch_stop` as it did.
    """

    dependencies = [("aifeature", "0031_users")]
    operations = sql.load("switch")
