"""Beat's scheduler. It keeps sending after a clock jump, and no signal can lock it up.

A row that cannot be sent is skipped and reported. The other rows are still sent.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any, Final

from celery.schedules import schedstate
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, transaction
from django_celery_beat import schedulers
from django_celery_beat.models import PeriodicTask
from django_celery_beat.tzcrontab import TzAwareCrontab
from kombu import Connection
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from aifeature.models import Alert
from aifeature.services.alerting import alerts
from aifeature.services.watch import broken, defaults, schedule
from aifeature.services.watch.wall_clock import WallClock
from project import boot, scrubbing
from project.logs import READY

logger = logging.getLogger(__name__)

AGAIN_S: Final = 2.0
"""Seconds between two attempts to read the schedule while the database is unavailable. Celery would
end beat instead, and a process supervisor waits longer before each restart."""

UNAVAILABLE: Final = (OperationalError, InterfaceError, KombuError, RedisError, OSError)
"""Errors of the database and the broker while they are unavailable. They do not end beat."""

SCHEDULE_BROKEN: Final = "schedule_broken"
"""The kind of alert about a row that cannot be sent."""

_SUBJECT: Final = 120
"""Longest subject of an alert, in characters. A row's name may be longer."""


class BrokenRowError(ValueError):
    """A row of the schedule that no worker can run. Its text describes the problem."""

    text_is_ours = True


class Entry(schedulers.ModelEntry):
    """A row of the schedule."""

    def __init__(self, model: Any, app: Any = None) -> None:
        """Read a row.

        Raises:
            BrokenRowError: it cannot be sent. The library would disable some of these silently,
                and end beat because of others.
        """
        if found := broken.problems(model):
            raise BrokenRowError(" ".join(sentence for _, sentence in found))
        super().__init__(model, app)  # type: ignore[no-untyped-call]  # it has no types
        if isinstance(self.schedule, TzAwareCrontab):
            self.schedule = WallClock.of(self.schedule)

    @classmethod
    def from_entry(cls, name: str, app: Any = None, **entry: Any) -> Entry:
        """Store the code's entry, except for the fields that an operator edited.

        Changed fields are recorded in the audit log.
        """
        with transaction.atomic():
            fields = cls._unpack_fields(**entry)  # type: ignore[no-untyped-call]
            unedited = defaults.unedited(name, fields)
            schedule.record_release(name, unedited)
            row, _ = PeriodicTask.objects.update_or_create(
                name=name, defaults=unedited, create_defaults=fields
            )
        return cls(row, app=app)

    def is_due(self) -> schedstate:
        """Return whether to send the row now, and the seconds until the next check.

        After a clock ran ahead, the last run is in the future. It is then set to now, otherwise
        the next run would wait for that future time.
        """
        now = datetime.now(UTC)
        if self.last_run_at is not None and self.last_run_at > now:
            self.last_run_at = self.model.last_run_at = now
        found: schedstate = super().is_due()  # type: ignore[no-untyped-call]  # it has no types
        return found


class Scheduler(schedulers.DatabaseScheduler):
    """The schedule in the database, which operators edit in admin."""

    Entry: type[schedulers.ModelEntry] = Entry
    _last_tick_at: datetime | None = None
    _busy = 0
    _stop_requested = False

    def setup_schedule(self) -> None:
        """Replace Celery's signal handlers, and load the schedule.

        Raises:
            SystemExit: the database is unfit for this project. The log gives the reason.
        """
        if not boot.is_fit(boot.database()):
            raise SystemExit(os.EX_CONFIG)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self.stop)
        while not self._loaded():
            time.sleep(AGAIN_S)
        logging.getLogger(READY).info("beat: the schedule is loaded")

    def update_from_dict(self, mapping: dict[str, Any]) -> None:
        """Store the code's schedule. A row that an operator deleted stays deleted.

        Protected checks are stored again: see `defaults.deleted`.
        """
        gone = defaults.deleted(mapping)
        for name in sorted(gone):
            logger.warning("beat: the row %r of the code's schedule was deleted in admin", name)
        kept = {name: entry for name, entry in mapping.items() if name not in gone}
        super().update_from_dict(kept)  # type: ignore[no-untyped-call]  # it has no types

    def _loaded(self) -> bool:
        self._initial_read = True  # the library clears it even if the read fails
        try:
            with self._uninterrupted():
                super().setup_schedule()  # type: ignore[no-untyped-call]
        except (OperationalError, InterfaceError) as error:
            logger.warning(
                "the schedule cannot be read, beat tries again every %g s: %s", AGAIN_S, error
            )
            if self._stop_requested:  # an error skips the check at the end of `_uninterrupted`
                raise SystemExit from None
            return False
        return True

    def enabled_models_qs(self) -> Any:
        """Return every enabled row.

        The library reads only rows that are due soon, and all schedules in one query, which fails
        if one row cannot be read. This schedule is short, so reading all of it is cheap.
        """
        return self.Model.objects.filter(enabled=True)

    def all_as_schedule(self) -> dict[str, schedulers.ModelEntry]:
        """Return the rows that can be sent, by name. Open an alert for each of the others."""
        found: dict[str, schedulers.ModelEntry] = {}
        problems: dict[str, str] = {}
        for model in self.enabled_models():  # type: ignore[no-untyped-call]
            try:
                found[model.name] = self.Entry(model, app=self.app)
            except DatabaseError:
                raise
            except Exception as error:  # noqa: BLE001 (one row must not end beat)
                ours = scrubbing.text_is_ours(error)
                problems[model.name] = str(error) if ours else scrubbing.kind(error)
        _report(problems)
        return found

    def tick(self, *args: Any, **more: Any) -> float:
        """Send the due rows. Return the seconds until the next row may be due."""
        with self._uninterrupted():
            now = datetime.now(UTC)
            if self._last_tick_at is not None and now < self._last_tick_at:
                self.populate_heap()  # the clock went back, so the planned times are too late
            self._last_tick_at = now
            try:
                _ = self.producer  # connect before a row leaves the heap, otherwise it is lost
                seconds: float = super().tick(*args, **more)
            except UNAVAILABLE as error:
                logger.warning(
                    "beat: nothing can be sent, trying again every %g s: %s",
                    *(AGAIN_S, type(error).__name__),
                )
                seconds = AGAIN_S
        return seconds

    def _ensure_connected(self) -> Connection:
        """Return the broker's connection. The library would retry forever and ignore signals.

        Raises:
            kombu.exceptions.KombuError, redis.RedisError, OSError: the broker is unavailable.
        """
        untyped: Any = self
        connection: Connection = untyped.connection
        connection.connect()
        return connection

    def sync(self) -> None:
        """Store the time of each row's last run."""
        with self._uninterrupted():
            super().sync()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Store the last runs at exit. A further signal does not interrupt this."""
        self._busy += 1
        super().close()

    def stop(self, _signum: int, _frame: FrameType | None) -> None:
        """End beat: immediately if it sleeps, otherwise after the current step.

        Celery's own handler writes to the database inside the signal handler. If the signal
        interrupts a statement, that write waits for the interrupted connection forever.
        """
        if not self._busy:
            raise SystemExit
        self._stop_requested = True

    @contextmanager
    def _uninterrupted(self) -> Iterator[None]:
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
        if self._stop_requested and not self._busy:
            self._stop_requested = False
            raise SystemExit


def _report(problems: dict[str, str]) -> None:
    """Open an alert for each broken row. Close the alerts of fixed and deleted rows."""
    try:
        _alert(problems)
    except (OperationalError, InterfaceError) as error:  # the other rows must still be sent
        logger.warning("beat: no alert about rows of the schedule: %s", type(error).__name__)


def _alert(problems: dict[str, str]) -> None:
    for name, problem in problems.items():
        logger.warning("beat: the row %r of the schedule is skipped: %s", name, problem)
        alerts.begin(
            SCHEDULE_BROKEN,
            name[:_SUBJECT],
            f"The row {name!r} of the schedule is not sent: {problem} Fix it in admin, under"
            " Periodic tasks.",
        )
    known = {name[:_SUBJECT] for name in problems}
    for alert in Alert.objects.filter(kind=SCHEDULE_BROKEN, closed_at=None):
        if alert.subject not in known:
            alerts.end(SCHEDULE_BROKEN, alert.subject)
