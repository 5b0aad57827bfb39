"""The schedule as beat stores it, and means to age what the watchers go by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now
from django_celery_beat.models import PeriodicTask

from aifeature.models import CheckRun, Watch, Worker
from project.beat import Entry
from project.celery import app


@pytest.fixture
def schedule(db: None) -> dict[str, Any]:
    """Beat's rows of the code's schedule, by task."""
    for name, entry in app.conf.beat_schedule.items():
        Entry.from_entry(name, app=app, **entry)
    return {row.task: row for row in PeriodicTask.objects.all()}


def age_watch(seconds: float) -> None:
    """The watching has gone on for this much longer, without a gap."""
    Watch.objects.update(since=F("since") - timedelta(seconds=seconds))
    Watch.objects.filter(name="turn").update(seen_at=Now() - timedelta(seconds=5))


def ran(task: str, ago_s: float, **values: Any) -> None:
    """The last run of this check ended so long ago."""
    at = Now() - timedelta(seconds=ago_s)
    known = {"began_at": at, "ended_at": at, "completed_at": at, "ok": True, "result": "Well."}
    CheckRun.objects.update_or_create(name=task, defaults={**known, **values})


def worker(queue: str, ago_s: float = 0, slots: int = 4) -> None:
    """A worker of this queue that was last seen so long ago."""
    seen = Now() - timedelta(seconds=ago_s)
    values = {"queue": queue, "slots": slots, "seen_at": seen}
    Worker.objects.update_or_create(name=f"{queue}@host", defaults=values)


def committed_now(act: Callable[[], None]) -> None:
    """Do something, and have the deferred constraints looked at as a commit would."""
    act()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
