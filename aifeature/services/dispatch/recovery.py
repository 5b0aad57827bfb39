"""Recovery of jobs after crashes. Any process may run it, at any time and as often as needed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from django.db import Error as DatabaseError

from aifeature.models import calls, fair_queue
from aifeature.models.functions import is_lock_timeout
from aifeature.reasons import FailureCode, WaitReason, after_waiting
from aifeature.services.alerting import alerts, check_runs
from aifeature.services.alerting.check_runs import Found
from aifeature.services.controls import switch
from aifeature.services.dispatch import publisher
from aifeature.services.texts import FAILED

logger = logging.getLogger(__name__)

TASK: Final = "control.sweep"

BATCH = 500

STUCK_SEEN_FOR: Final = timedelta(seconds=60)
"""Time without a report of stuck threads after which the alert of a worker ends."""

BROKEN_SEEN_FOR: Final = timedelta(minutes=15)
"""Time without a failure of a feature's own function after which its alert ends."""

LOST_CALL_S = 900
"""Age in seconds at which a call without a job counts as lost. No call takes longer. A probe takes
at most ten seconds and counts as lost after a minute (`sql/calls.sql`)."""


def sweep() -> int:
    """End overdue jobs and calls, and fill the window. Return the number of jobs published."""
    steps = (
        *(_cancel_closed_accounts, _end_overdue, _end_unapproved, _end_abandoned),
        _close_lost_calls,
        *(switch.settle_stopped, _end_alerts_without_news, alerts.notify),
    )
    try:
        for step in steps:
            _unless_locked(step)
    finally:  # a row that cannot be ended must not block the others
        handed_over = publisher.refill()
    return handed_over


def run_tick() -> int:
    """Sweep for beat and record the check run. Return the number of jobs published."""
    handed_over = 0

    def work() -> Found:
        nonlocal handed_over
        handed_over = sweep()
        return Found(ok=True, result=f"{handed_over} jobs were handed over.")

    check_runs.run(TASK, work)
    return handed_over


def _unless_locked(step: Callable[[], object]) -> None:
    """Run a step. Skip it until the next sweep if a lock blocks it."""
    try:
        step()
    except DatabaseError as error:
        if not is_lock_timeout(error):
            raise
        logger.warning("sweep: %s skipped until the next sweep, locked: %s", step.__name__, error)


def _cancel_closed_accounts() -> None:
    # No call is sent for them in any case: `begin_attempt` checks the account.
    if count := len(fair_queue.cancel_of_closed(limit=BATCH)):
        logger.info("%d jobs of closed accounts were cancelled", count)


def _end_overdue() -> None:
    _log_ended(len(fair_queue.end_overdue(limit=BATCH, ends=_failures())))


def _end_unapproved() -> None:
    code = FailureCode.APPROVAL_EXPIRED
    if count := len(fair_queue.end_unapproved(limit=BATCH, code=code, message=FAILED[code])):
        logger.warning("%d jobs failed, because no person decided about them in time", count)


def _end_abandoned() -> None:
    while fair_queue.end_abandoned(ends=_failures()):
        _log_ended(1)


def _close_lost_calls() -> None:
    while calls.close_lost(older_s=LOST_CALL_S):
        _log_ended(1)


def _end_alerts_without_news() -> None:
    alerts.end_unseen(alerts.STUCK_WORKER, STUCK_SEEN_FOR)
    alerts.end_unseen(alerts.FEATURE_BROKEN, BROKEN_SEEN_FOR)


def _log_ended(count: int) -> None:
    if count:
        logger.info("%d overdue jobs or calls ended", count)


def _failures() -> dict[str, dict[str, str]]:
    """Map each wait reason to the failure of a job whose deadline has passed."""
    codes = {reason: after_waiting(reason) for reason in ("", *WaitReason)}
    return {reason: {"code": code, "message": FAILED[code]} for reason, code in codes.items()}
