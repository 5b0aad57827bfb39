"""Beat's scheduler, which a clock that was wrong for a while does not silence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from celery.schedules import schedstate
from django_celery_beat import schedulers


class Entry(schedulers.ModelEntry):
    """One line of the schedule."""

    def is_due(self) -> schedstate:
        """Whether to send it now, and when to look again.

        A clock that ran ahead leaves a last run in the future. Counted from there, the next would
        wait until that day comes.
        """
        now = datetime.now(UTC)
        if self.last_run_at is not None and self.last_run_at > now:
            self.last_run_at = self.model.last_run_at = now
        found: schedstate = super().is_due()  # type: ignore[no-untyped-call]  # it has no types
        return found


class Scheduler(schedulers.DatabaseScheduler):
    """The schedule in the database, as admin edits it."""

    Entry = Entry
    _looked_at: datetime | None = None

    def tick(self, *args: Any, **more: Any) -> float:
        """Send what is due. Returns the seconds until there may be more."""
        now = datetime.now(UTC)
        if self._looked_at is not None and now < self._looked_at:
            # What is planned was planned by a clock that was ahead.
            self.populate_heap()
        self._looked_at = now
        seconds: float = super().tick(*args, **more)
        return seconds
