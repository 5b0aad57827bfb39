from django.db import migrations

from aifeature import sql


class Migration(migrations.Migration):
    """The rows that a statement changes are chosen once, whatever the plan.

    PostgreSQL may run a subquery after `IN` once for each row of the update. If it locks and has a
    limit, more rows change than the limit allows.
    """

    dependencies = [("aifeature", "0044_counts_by_origin")]
    operations = [
        *sql.load("dispatch"),
        *sql.load("lease"),
        *sql.load("sign_in"),
        *sql.load("stopped"),
    ]
