from django.db import migrations

from aifeature import sql

TABLES = (
    *("aifeature_job", "aifeature_attempt", "aifeature_spendwindow", "aifeature_controlchange"),
    *("aifeature_featurecontrol", "aifeature_modelcontrol", "aifeature_rateoverride"),
    "aifeature_launch",
    *("django_celery_beat_periodictask", "django_celery_beat_intervalschedule"),
    *("django_celery_beat_crontabschedule", "django_celery_beat_clockedschedule"),
    "django_celery_beat_solarschedule",
)


class Migration(migrations.Migration):
    """No record is emptied with TRUNCATE. The guards are made while jobs run.

    Each table is locked by itself, for a moment: together they would lock up with workers, which
    lock them in orders of their own. If it is broken off, migrate again.
    """

    atomic = False
    dependencies = [("aifeature", "0032_oncall")]
    operations = [
        *sql.load("truncate_guards"),
        *(
            sql.Patient(
                f"CREATE OR REPLACE TRIGGER truncate_guard BEFORE TRUNCATE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION aif_guard_truncate()",
                f"DROP TRIGGER IF EXISTS truncate_guard ON {table}",
            )
            for table in TABLES
        ),
    ]
