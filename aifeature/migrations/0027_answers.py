from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """A spend window that is wrong costs no job its result: no sum falls below zero."""

    dependencies = [("aifeature", "0026_lost_probes")]
    operations = [*sql.load("windows")]
