"""Keeps every job moving to its end, whoever was killed. Run often, by anybody, at any time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from django.db import Error as DatabaseError

from aifeature.models import calls, fair_queue
from aifeature.models.functions import is_lock_timeout
from aifeature.reasons import WaitReason, after_waiting
from aifeature.services.alerting import alerts, check_runs
from aifeature.services.alerting.check_runs import Found
from aifeature.services.controls import switch
from aifeature.services.dispatch import publisher
from aifeature.services.texts import FAILED

logger = logging.getLogger(__name__)

TASK: Final = "control.sweep"

BATCH = 500

STUCK_SEEN_FOR: Final = timedelta(seconds=60)
"""Time without a new sight of threads that hang after which the alert of a worker ends."""

LOST_CALL_S = 900
"""Age at which a call of no job counts as lost: longer than any call may take. A probe, which takes
ten seconds at most, counts as lost after a minute (`sql/calls.sql`)."""


def sweep() -> int:
    """End what is overdue and fill the window. Returns how many jobs were handed over."""
    steps = (
        *(_end_of_closed_accounts, _end_overdue, _end_abandoned, _close_lost_calls),
        *(switch.settle_stopped, _end_alerts_of_stuck_workers, alerts.tell),
    )
    try:
        for step in steps:
            _unless_locked(step)
    finally:  # a row that cannot be ended must not hold up all others
        handed_over = publisher.refill()
    return handed_over


def run_tick() -> int:
    """Sweep for beat, and write down that its tick came through. Returns what `sweep` does."""
    handed_over = 0

    def work() -> Found:
        nonlocal handed_over
        handed_over = sweep()
        return Found(ok=True, result=f"{handed_over} jobs were handed over.")

    check_runs.run(TASK, work)
    return handed_over


def _unless_locked(step: Callable[[], object]) -> None:
    """Leave a step that a lock is in the way of to the next turn: the others do not wait for it."""
    try:
        step()
    except DatabaseError as error:
        if not is_lock_timeout(error):
            raise
        logger.warning("sweep: %s is left to the next turn: %s", step.__name__, error)


def _end_of_closed_accounts() -> None:
    """Nothing more is sent for them in any case: `begin_attempt` looks at the account."""
    if count := len(fair_queue.cancel_of_closed(limit=BATCH)):
        logger.info("%d jobs of closed accounts were cancelled", count)


def _end_overdue() -> None:
    _say_ended(len(fair_queue.end_overdue(limit=BATCH, ends=_ends())))


def _end_abandoned() -> None:
    while fair_queue.end_abandoned(ends=_ends()):
        _say_ended(1)


def _close_lost_calls() -> None:
    while calls.close_lost(older_s=LOST_CALL_S):
        _say_ended(1)


def _end_alerts_of_stuck_workers() -> None:
    alerts.end_unseen(alerts.STUCK_WORKER, STUCK_SEEN_FOR)


def _say_ended(count: int) -> None:
    if count:
        logger.info("%d jobs or calls ended, their time was up", count)


def _ends() -> dict[str, dict[str, str]]:
    """The failure of a job whose deadline passed, by what it waited for."""
    codes = {reason: after_waiting(reason) for reason in ("", *WaitReason)}
    return {reason: {"code": code, "message": FAILED[code]} for reason, code in codes.items()}
