"""Beat's scheduler, which a wrong clock does not silence and a signal does not lock up.

A row that cannot be sent is skipped and reported, and the others go on.
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
"""Until the schedule is read again when the database was away. Celery would end beat instead, and
whatever starts it anew would wait longer from time to time."""


AWAY: Final = (OperationalError, InterfaceError, KombuError, RedisError, OSError)
"""What the database and the broker raise while they are away or refuse. It ends no beat."""


SCHEDULE_BROKEN: Final = "schedule_broken"
"""The kind of alert about a row that cannot be sent."""


_SUBJECT: Final = 120
"""Characters of an alert's subject; a row's name may be longer."""


class BrokenRowError(ValueError):
    """A row of the schedule that no worker could run. Its text says what is wrong."""

    text_is_ours = True


class Entry(schedulers.ModelEntry):
    """One line of the schedule."""

    def __init__(self, model: Any, app: Any = None) -> None:
        """Read a row.

        Raises:
            BrokenRowError: it cannot be sent. The library would disable some of these without a
                word, and end beat for others.
        """
        if found := broken.problems(model):
            raise BrokenRowError(" ".join(sentence for _, sentence in found))
        super().__init__(model, app)  # type: ignore[no-untyped-call]  # it has no types
        if isinstance(self.schedule, TzAwareCrontab):
            self.schedule = WallClock.of(self.schedule)

    @classmethod
    def from_entry(cls, name: str, app: Any = None, **entry: Any) -> Entry:
        """Store what the code defines, without the fields that an operator edited.

        What it changes goes into the audit trail.
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

    Entry: type[schedulers.ModelEntry] = Entry
    _looked_at: datetime | None = None
    _busy = 0
    _asked_to_stop = False

    def setup_schedule(self) -> None:
        """Load the schedule. From here on Celery's own handlers of signals are replaced by ours.

        Raises:
            SystemExit: the database cannot serve this project; the log says why.
        """
        if not boot.is_fit(boot.database()):
            raise SystemExit(os.EX_CONFIG)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self.stop)
        while not self._loaded():
            time.sleep(AGAIN_S)
        logging.getLogger(READY).info("beat: the schedule is loaded")

    def update_from_dict(self, mapping: dict[str, Any]) -> None:
        """Store what the code defines. A row that an operator deleted stays deleted.

        Not so a protected check: see `defaults.deleted`.
        """
        gone = defaults.deleted(mapping)
        for name in sorted(gone):
            logger.warning("beat: the row %r of the code's schedule was deleted in admin", name)
        kept = {name: entry for name, entry in mapping.items() if name not in gone}
        super().update_from_dict(kept)  # type: ignore[no-untyped-call]  # it has no types

    def _loaded(self) -> bool:
        self._initial_read = True  # of the library: it counts one that failed
        try:
            with self._to_its_end():
                super().setup_schedule()  # type: ignore[no-untyped-call]
        except (OperationalError, InterfaceError) as error:
            logger.warning(
                "the schedule cannot be read, beat tries again every %g s: %s", AGAIN_S, error
            )
            if self._asked_to_stop:  # meanwhile: an error passes by who would have seen to it
                raise SystemExit from None
            return False
        return True

    def enabled_models_qs(self) -> Any:
        """Every enabled row.

        The library leaves out those of other hours and reads all schedules at once, by queries that
        fail as a whole when one row cannot be read. This schedule is short.
        """
        return self.Model.objects.filter(enabled=True)

    def all_as_schedule(self) -> dict[str, schedulers.ModelEntry]:
        """Each row that can be sent, by name. The others become alerts."""
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
        """Send what is due. Returns the seconds until there may be more."""
        with self._to_its_end():
            now = datetime.now(UTC)
            if self._looked_at is not None and now < self._looked_at:
                # What is planned was planned by a clock that was ahead.
                self.populate_heap()
            self._looked_at = now
            try:
                _ = self.producer  # made before a line is taken to be sent, or that would be lost
                seconds: float = super().tick(*args, **more)
            except AWAY as error:
                logger.warning(
                    "beat: nothing can be sent, trying again every %g s: %s",
                    *(AGAIN_S, type(error).__name__),
                )
                seconds = AGAIN_S
        return seconds

    def _ensure_connected(self) -> Connection:
        """Return the broker's connection. The library would try for ever, deaf to signals.

        Raises:
            kombu.exceptions.KombuError, redis.RedisError, OSError: it cannot be made now.
        """
        known: Any = self
        connection: Connection = known.connection
        connection.connect()
        return connection

    def sync(self) -> None:
        """Write down what was sent when."""
        with self._to_its_end():
            super().sync()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Write down what was sent when, for the last time: a further signal changes nothing."""
        self._busy += 1
        super().close()

    def stop(self, _signum: int, _frame: FrameType | None) -> None:
        """End beat: at once if it sleeps, else when what it does is done.

        Celery's own handler writes to the database from within the signal. When the signal came in
        the middle of a statement, it waited for the very connection that it had interrupted.
        """
        if not self._busy:
            raise SystemExit
        self._asked_to_stop = True

    @contextmanager
    def _to_its_end(self) -> Iterator[None]:
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
        if self._asked_to_stop and not self._busy:
            self._asked_to_stop = False
            raise SystemExit


def _report(problems: dict[str, str]) -> None:
    """Open an alert for each broken row, and close those of rows that are well or gone."""
    try:
        _alert(problems)
    except (OperationalError, InterfaceError) as error:  # the other rows are sent all the same
        logger.warning("beat: no alert about rows of the schedule: %s", type(error).__name__)


def _alert(problems: dict[str, str]) -> None:
    for name, problem in problems.items():
        logger.warning("beat: the row %r of the schedule is skipped: %s", name, problem)
        alerts.begin(
            SCHEDULE_BROKEN,
            name[:_SUBJECT],
            f"The row {name!r} of the schedule is not sent: {problem} Mend it in admin, under"
            " Periodic tasks.",
        )
    known = {name[:_SUBJECT] for name in problems}
    for alert in Alert.objects.filter(kind=SCHEDULE_BROKEN, closed_at=None):
        if alert.subject not in known:
            alerts.end(SCHEDULE_BROKEN, alert.subject)
