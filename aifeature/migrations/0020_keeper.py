from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """A locked row holds nobody up: short waits for locks, and takeovers only from dead workers.

    Functions that processes of the release before call keep their names and arguments.
    """

    dependencies = [("aifeature", "0016_bill_shapes")]
    operations = sql.load(
        *("dispatch", "lease", "claim", "overdue", "begin_attempt", "finish", "cancel", "submit"),
        *("calls", "load", "stopped", "trip", "reconcile", "settle_unknown", "blanking"),
    )
