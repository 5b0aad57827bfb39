from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """A probe whose end was never stored is closed after a minute, as `unknown`."""

    dependencies = [("aifeature", "0025_spike")]
    operations = [*sql.load("calls")]
