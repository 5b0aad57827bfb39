from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """A run whose worker is gone is handed over as soon as its lease is over, however short.

    A job ends with a call of its own that is open, or not at all.
    """

    dependencies = [("aifeature", "0010_retention_index")]
    operations = sql.load("dispatch", "settle_attempt", "finish")
