"""The database refuses to empty a table."""

from __future__ import annotations

import threading
import time
from importlib import import_module

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.migrations.state import ProjectState

from aifeature import sql
from aifeature.models import ControlChange, FeatureControl
from tests.integration.job_rows import MakeJob

TABLES = (
    *("aifeature_job", "aifeature_attempt", "aifeature_spendwindow", "aifeature_controlchange"),
    *("aifeature_featurecontrol", "aifeature_modelcontrol", "aifeature_rateoverride"),
    *("aifeature_launch", "aifeature_evidence", "aifeature_activation", "auth_user"),
    *("aifeature_guardevent", "aifeature_accessblock", "aifeature_betamember"),
    *("django_celery_beat_periodictask", "django_celery_beat_crontabschedule"),
)


@pytest.mark.parametrize("table", TABLES)
def test_no_table_is_emptied(make_job: MakeJob, ada: User, table: str) -> None:
    job = make_job()
    FeatureControl.objects.create(feature="summarize")
    ControlChange.objects.create(feature="summarize", field="stage", reason="r", user=ada)
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL aifeature.may_truncate = 'no'")
        with pytest.raises(IntegrityError, match="emptying it is refused"), transaction.atomic():
            cursor.execute(f"TRUNCATE {table} CASCADE")
    job.refresh_from_db()
    assert FeatureControl.objects.exists()
    assert ControlChange.objects.exists()


guards = import_module("aifeature.migrations.0033_truncate_guards").Migration("0033", "aifeature")


def make_guards() -> None:
    with connection.schema_editor(atomic=guards.atomic) as editor:
        guards.apply(ProjectState(), editor)


def finish_jobs(locked: threading.Event) -> None:
    """Lock a call as a worker does, then, while the migration waits for that table, the job."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE aifeature_attempt IN ROW EXCLUSIVE MODE")
        locked.set()
        waiting = [(0,)]
        while not waiting[0][0]:
            cursor.execute(
                "SELECT count(*) FROM pg_locks"
                " WHERE NOT granted AND relation = 'aifeature_attempt'::regclass AND database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            waiting = cursor.fetchall()
        cursor.execute("LOCK TABLE aifeature_job IN ROW EXCLUSIVE MODE")
        time.sleep(0.5)  # longer than a try waits
    connection.close()


@pytest.mark.usefixtures("committed")
def test_the_guards_are_made_while_workers_hold_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "LOCK_S", 0.2)
    monkeypatch.setattr(sql, "PAUSE_S", 0.05)
    locked = threading.Event()
    worker = threading.Thread(target=finish_jobs, args=(locked,))
    worker.start()
    assert locked.wait(60)
    make_guards()
    worker.join()


@pytest.mark.usefixtures("committed")
def test_a_lasting_lock_ends_the_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "LOCK_S", 0.05)
    monkeypatch.setattr(sql, "PAUSE_S", 0.0)
    monkeypatch.setattr(sql, "TRIES", 3)
    locked, over = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE aifeature_launch IN ROW EXCLUSIVE MODE")
            locked.set()
            over.wait(60)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert locked.wait(60)
        with pytest.raises(OperationalError, match="lock timeout"):
            make_guards()
    finally:
        over.set()
        holder.join()
