"""One look at everything that is watched, and who takes it.

The dispatcher's thread of the control worker looks every five seconds. The feeders of the llm
workers stand in when nobody has looked for a while: when control is gone, and also when its thread
hangs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from django.db import Error as DatabaseError

from aifeature.models import Alert, watch
from aifeature.models.functions import brief
from aifeature.services.alerting import alerts
from aifeature.services.watch import gaps, lateness, queues, stalled
from aifeature.services.watch.findings import Finding

logger = logging.getLogger(__name__)

EVERY_S: Final = 5.0
"""Seconds between two looks of the control worker."""

STAND_IN_S: Final = 15.0
"""Seconds without a look from which on an llm worker takes one."""

REPORT_AFTER_S: Final = 30.0
"""Seconds without a look that the database took, from which on the log says so as an error: an
alert is a row, and there is no other way to tell while none can be written."""

FINDERS: Final[Mapping[str, Callable[[], list[Finding]]]] = MappingProxyType(
    {
        lateness.CHECK_LATE: lateness.late,
        queues.NO_WORKER: queues.away,
        stalled.NOTHING_RUNS: stalled.found,
    }
)
"""What is looked for, by the kind of its alerts."""


class Watcher:
    """Looks when it is due; safe for one thread of any number of processes."""

    def __init__(self, *, after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Args:
            after_s: Seconds that the last look of any process must be past: EVERY_S or STAND_IN_S.
            clock: Of this process; it only spares the database a question.
        """
        self._after_s = after_s
        self._clock = clock
        self._asked_at = float("-inf")
        self._failing_since: float | None = None
        self._reported = False

    def look(self) -> bool:
        """Look if nobody has for long enough. Returns whether it did.

        It raises nothing, since the thread that calls it has other work.
        """
        if self._clock() - self._asked_at < EVERY_S:
            return False
        self._asked_at = self._clock()
        try:
            looked = look(after_s=self._after_s)
        except DatabaseError as error:
            self._failed(error)
        except Exception:  # a defect here must not stop what the thread does beside
            logger.exception("watcher: a look failed, trying again")
        else:
            self._worked()
            return looked
        return False

    def _failed(self, error: Exception) -> None:
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        away_s = now - self._failing_since
        if away_s < REPORT_AFTER_S or self._reported:
            logger.warning("watcher: the database does not answer, trying again: %s", brief(error))
            return
        self._reported = True
        logger.error(
            "watcher: for %.0f s the database has taken no writes (%s), so no alert can be opened."
            " See deploy/runbooks/refusing-services.md.",
            *(away_s, brief(error)),
        )

    def _worked(self) -> None:
        if self._reported:
            logger.warning("watcher: the database takes writes again")
        self._failing_since, self._reported = None, False


def look(*, after_s: float) -> bool:
    """Open and close the alerts of FINDERS, and tell what is new.

    Returns False, and does nothing, if the last look of any process is less than `after_s` old.

    Raises:
        django.db.Error: the database is away.
    """
    if not watch.take_turn(after_s=after_s):
        return False
    watch.note(list(gaps.sent_every()), list(queues.QUEUES))
    for kind, find in FINDERS.items():
        try:
            _settle(kind, find())
        except DatabaseError:
            raise
        except Exception:  # a defect in one must not hide what the other finds
            logger.exception("watcher: looking for %s failed, trying again", kind)
    alerts.tell()
    return True


def _settle(kind: str, found: Iterable[Finding]) -> None:
    """Open an alert for each finding, and close those of this kind that are over."""
    subjects = set()
    for each in found:
        alerts.begin(kind, each.subject, each.summary, each.figures)
        subjects.add(each.subject)
    for alert in Alert.objects.filter(kind=kind, closed_at=None):
        if alert.subject not in subjects:
            alerts.end(kind, alert.subject)
