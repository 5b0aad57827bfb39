"""The watcher: runs all finders and updates their alerts.

The dispatcher thread of the control worker runs it every five seconds. The agents of the llm
workers take over if no process has run it for a while: the control worker is gone or hangs.
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
"""Seconds between two rounds of the control worker."""

STAND_IN_S: Final = 15.0
"""Seconds since the last round of any process after which an llm worker runs one."""

REPORT_AFTER_S: Final = 30.0
"""Seconds of failed rounds after which an error is logged. An alert is a row, and the database
cannot store one meanwhile."""

FINDERS: Final[Mapping[str, Callable[[], list[Finding]]]] = MappingProxyType(
    {
        lateness.CHECK_LATE: lateness.late,
        queues.NO_WORKER: queues.away,
        stalled.NOTHING_RUNS: stalled.found,
    }
)
"""Finders by the kind of their alerts."""


class Watcher:
    """Runs a round when one is due. Each process uses it in one thread."""

    def __init__(self, *, after_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Create a watcher. `after_s` is EVERY_S or STAND_IN_S, as in `check`.

        The clock of this process only limits the number of queries.
        """
        self._after_s = after_s
        self._clock = clock
        self._tried_at = float("-inf")
        self._failing_since: float | None = None
        self._reported = False

    def check(self) -> bool:
        """Run a round if one is due. Return whether it ran.

        It does not raise, since the calling thread has other work.
        """
        if self._clock() - self._tried_at < EVERY_S:
            return False
        self._tried_at = self._clock()
        try:
            ran = check(after_s=self._after_s)
        except DatabaseError as error:
            self._failed(error)
        except Exception:  # a defect here must not stop the thread's other work
            logger.exception("watcher: a round failed, trying again")
        else:
            self._worked()
            return ran
        return False

    def _failed(self, error: Exception) -> None:
        now = self._clock()
        if self._failing_since is None:
            self._failing_since = now
        failing_s = now - self._failing_since
        if failing_s < REPORT_AFTER_S or self._reported:
            logger.warning("watcher: the database does not answer, trying again: %s", brief(error))
            return
        self._reported = True
        logger.error(
            "watcher: for %.0f s the database has taken no writes (%s), so no alert can be opened."
            " See deploy/runbooks/refusing-services.md.",
            *(failing_s, brief(error)),
        )

    def _worked(self) -> None:
        if self._reported:
            logger.warning("watcher: the database takes writes again")
        self._failing_since, self._reported = None, False


def check(*, after_s: float) -> bool:
    """Open and close the alerts of FINDERS, and send notifications.

    Returns False, and does nothing, if the last round of any process is less than `after_s` old.

    Raises:
        django.db.Error: The database is unavailable.
    """
    if not watch.take_turn(after_s=after_s):
        return False
    watch.note(list(gaps.sent_every()), list(queues.QUEUES))
    for kind, find in FINDERS.items():
        try:
            _settle(kind, find())
        except DatabaseError:
            raise
        except Exception:  # a defect in one finder must not hide findings of the others
            logger.exception("watcher: the finder of %s failed, trying again", kind)
    alerts.notify()
    return True


def _settle(kind: str, found: Iterable[Finding]) -> None:
    """Open an alert for each finding. Close the other alerts of this kind."""
    subjects = set()
    for each in found:
        alerts.begin(kind, each.subject, each.summary, each.figures)
        subjects.add(each.subject)
    for alert in Alert.objects.filter(kind=kind, closed_at=None):
        if alert.subject not in subjects:
            alerts.end(kind, alert.subject)
