"""The schedule in the database, and functions that age what the watchers read."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django_celery_beat.models import PeriodicTask

from aifeature.models import CheckRun, Watch, Worker
from aifeature.services.watch import watcher
from aifeature.services.watch.queues import QUEUES
from project.beat import Entry
from project.celery import app


@pytest.fixture
def handlers() -> Iterator[None]:
    """Restore the signal handlers after the test."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.fixture
def schedule(db: None) -> dict[str, Any]:
    """The rows of the schedule in the code, by task."""
    for name, entry in app.conf.beat_schedule.items():
        Entry.from_entry(name, app=app, **entry)
    return {row.task: row for row in PeriodicTask.objects.all()}


def stop_clock() -> None:
    """Let the database's clock stand until the end of the transaction.

    Our SQL and `Now()` call a function of this schema then. Column defaults do not.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT format('%L::timestamptz', statement_timestamp())")
        (moment,) = cursor.fetchone()
        cursor.execute("CREATE SCHEMA stopped")
        cursor.execute(
            "CREATE FUNCTION stopped.statement_timestamp() RETURNS timestamptz"
            f" LANGUAGE sql STABLE AS $$ SELECT {moment} $$"
        )
        cursor.execute("SELECT current_setting('search_path')")
        (path,) = cursor.fetchone()
        cursor.execute(f"SET LOCAL search_path = stopped, pg_catalog, {path}")


def age_watch(seconds: float) -> None:
    """Let the watchers have watched for this much longer, without a gap."""
    Watch.objects.update(since=F("since") - timedelta(seconds=seconds))
    Watch.objects.filter(name="turn").update(seen_at=Now() - timedelta(seconds=5))


def ran(task: str, ago_s: float, **values: Any) -> None:
    """Set the end of a check's last run."""
    at = Now() - timedelta(seconds=ago_s)
    known = {"began_at": at, "ended_at": at, "completed_at": at, "ok": True, "result": "Well."}
    CheckRun.objects.update_or_create(name=task, defaults={**known, **values})


def worker(queue: str, ago_s: float = 0, slots: int = 4) -> None:
    """Set the last presence of a worker of this queue."""
    seen = Now() - timedelta(seconds=ago_s)
    values = {"queue": queue, "slots": slots, "seen_at": seen}
    Worker.objects.update_or_create(name=f"{queue}@host", defaults=values)


@pytest.fixture
def watched(db: None) -> None:
    """Watched for an hour, with a worker at each queue."""
    for queue in QUEUES:
        worker(queue)
    watcher.check(after_s=0)
    age_watch(3600)
