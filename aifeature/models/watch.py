"""What the watchers have seen, so that a check or a worker that is missing is noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import models
from django.db.models.functions import Now

from aifeature.models.functions import rows


class ScheduleDefault(models.Model):
    """What the code defined last for one row of the schedule. Written by beat at its start."""

    name = models.CharField(max_length=200, primary_key=True)
    defined = models.JSONField(default=dict, db_default={}, help_text="Words by column.")

    def __str__(self) -> str:
        return self.name


class Watch(models.Model):
    """One thing that is watched: `check <task>`, `queue <name>`, and `turn`, the watching itself.

    Rows are written by the functions of `sql/watch.sql`.
    """

    name = models.CharField(max_length=120, primary_key=True)
    since = models.DateTimeField(
        db_default=Now(), help_text="Of `turn`: when the watching began, after its last gap."
    )
    seen_at = models.DateTimeField(db_default=Now())
    alive_at = models.DateTimeField(
        null=True, blank=True, help_text="Of a queue: when a live worker was last seen."
    )

    def __str__(self) -> str:
        return self.name


class Probe(models.Model):
    """What readiness probes write, to see that the database takes it: one row (`sql/probe.sql`)."""

    id = models.IntegerField(primary_key=True)
    written_at = models.DateTimeField(db_default=Now())
    filler = models.TextField(default="", db_default="")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"written at {self.written_at}"


@dataclass(frozen=True, slots=True)
class CheckAge:
    """How long ago a scheduled check last ran to its end, or the watching for it began."""

    task: str
    age_s: float
    completed_at: datetime | None
    """None: it has never run to its end."""
    result: str
    """Of its last run, also of one that broke off; empty if there was none."""


@dataclass(frozen=True, slots=True)
class QueueAge:
    """How long a queue has had no live worker, in seconds; None: no process has ever reported."""

    queue: str
    away_s: float | None


@dataclass(frozen=True, slots=True)
class Stalled:
    """Jobs that are due while nothing runs although workers are there."""

    jobs: int
    """A thousand at most."""
    due_s: float
    """For how long the first of them has been due."""


def take_turn(*, after_s: float) -> bool:
    """Take the next turn at watching, if the last one began at least `after_s` seconds ago."""
    taken: bool = rows("aif_watch_turn", after_s)[0][0]
    return taken


def note(checks: Sequence[str], queues: Sequence[str]) -> None:
    """Begin to watch what is new among these, and write down which queues have live workers."""
    rows("aif_watch_note", list(checks), list(queues))


def check_ages(checks: Sequence[str]) -> list[CheckAge]:
    """The ages of these checks, by the database's clock."""
    return [CheckAge(*row) for row in rows("aif_check_ages", list(checks))]


def queue_ages(queues: Sequence[str]) -> list[QueueAge]:
    """For how long each of these queues has been without a live worker."""
    return [QueueAge(queue, rows("aif_queue_away_s", queue)[0][0]) for queue in queues]


def stalled(*, after_s: float) -> Stalled | None:
    """Return the jobs that have been due for `after_s` seconds in which nothing ran; None: none."""
    found = rows("aif_stalled", after_s)
    return Stalled(*found[0]) if found else None
