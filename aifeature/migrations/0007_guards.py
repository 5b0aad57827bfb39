from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

from aifeature import sql


class Migration(migrations.Migration):
    """The database refuses what a job, a call and an audit row may not become."""

    dependencies = [("aifeature", "0006_settlement")]
    operations = [
        AddConstraintNotValid(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("charge_micro", 0),
                    models.Q(
                        ("charge_micro__gt", 0),
                        models.Q(("status__in", ["queued", "running"]), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="job_charged_only_for_an_answer",
            ),
        ),
        *sql.load("guards", "guard_triggers"),
    ]
