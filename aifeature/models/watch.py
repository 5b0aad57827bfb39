"""Records of the watchers, which detect missing checks and workers (`sql/watch.sql`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import models
from django.db.models.functions import Now

from aifeature.models.functions import rows


class ScheduleDefault(models.Model):
    """The latest default in code of one row of the schedule. Beat writes it when it starts."""

    name = models.CharField(max_length=200, primary_key=True)
    defined = models.JSONField(default=dict, db_default={}, help_text="Values by column, as text.")

    def __str__(self) -> str:
        return self.name


class Watch(models.Model):
    """A watched object: `check <task>`, `queue <name>`, or `turn`, the watching itself."""

    name = models.CharField(max_length=120, primary_key=True)
    since = models.DateTimeField(
        db_default=Now(), help_text="For `turn`: when the watching began, after its last gap."
    )
    seen_at = models.DateTimeField(db_default=Now())
    alive_at = models.DateTimeField(
        null=True, blank=True, help_text="For a queue: when a live worker was last seen."
    )

    def __str__(self) -> str:
        return self.name


class Probe(models.Model):
    """A single row that readiness probes write, to test that the database accepts writes."""

    id = models.IntegerField(primary_key=True)
    written_at = models.DateTimeField(db_default=Now())
    filler = models.TextField(default="", db_default="")

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"written at {self.written_at}"


@dataclass(frozen=True, slots=True)
class CheckAge:
    """Time since a scheduled check last completed, or since the watching for it began."""

    task: str
    age_s: float
    completed_at: datetime | None
    """None: it has never completed."""
    result: str
    """Of its last run, completed or not; empty if there was none."""


@dataclass(frozen=True, slots=True)
class QueueAge:
    """Seconds for which a queue has had no live worker; None: no process has ever reported."""

    queue: str
    away_s: float | None


@dataclass(frozen=True, slots=True)
class Stalled:
    """Jobs that are due while no job runs, although workers are available."""

    jobs: int
    """A thousand at most."""
    due_s: float
    """Time for which the first of them has been due."""


def take_turn(*, after_s: float) -> bool:
    """Take the next turn at watching if the last one began at least `after_s` seconds ago."""
    taken: bool = rows("aif_watch_turn", after_s)[0][0]
    return taken


def note(checks: Sequence[str], queues: Sequence[str]) -> None:
    """Start watching new checks and queues, and record which queues have live workers."""
    rows("aif_watch_note", list(checks), list(queues))


def check_ages(checks: Sequence[str]) -> list[CheckAge]:
    """Return the ages of these checks, by the database's clock."""
    return [CheckAge(*row) for row in rows("aif_check_ages", list(checks))]


def queue_ages(queues: Sequence[str]) -> list[QueueAge]:
    return [QueueAge(queue, rows("aif_queue_away_s", queue)[0][0]) for queue in queues]


def stalled(*, after_s: float) -> Stalled | None:
    """Return the jobs that were due for `after_s` seconds while no job ran, or None."""
    found = rows("aif_stalled", after_s)
    return Stalled(*found[0]) if found else None
