"""Keeps every job moving to its end, whoever was killed. Run often, by anybody, at any time."""

from __future__ import annotations

import logging
from typing import Final

from aifeature.models import calls, turns
from aifeature.services import alerts, checks, dispatch, switch
from aifeature.services.checks import Found
from aifeature.services.messages import FAILED_AFTER_WAITING, sentence

logger = logging.getLogger(__name__)

TASK: Final = "control.sweep"

BATCH = 500

LOST_CALL_S = 900
"""Age at which a call of no job counts as lost: longer than any call may take."""


def sweep() -> int:
    """End what is overdue and fill the window. Returns how many jobs were handed over."""
    try:
        _end_what_is_overdue()
        switch.settle_stopped()
        alerts.tell()
    finally:  # a row that cannot be ended must not hold up all others
        handed_over = dispatch.refill()
    return handed_over


def run_tick() -> int:
    """Sweep for beat, and write down that its tick came through. Returns what `sweep` does."""
    handed_over = 0

    def work() -> Found:
        nonlocal handed_over
        handed_over = sweep()
        return Found(ok=True, result=f"{handed_over} jobs were handed over.")

    checks.run(TASK, work)
    return handed_over


def _end_what_is_overdue() -> None:
    ended = len(turns.end_overdue(limit=BATCH, ends=_ends()))
    while turns.end_abandoned(ends=_ends()):
        ended += 1
    while calls.close_lost(older_s=LOST_CALL_S):
        ended += 1
    if ended:
        logger.info("%d jobs or calls ended, their time was up", ended)


def _ends() -> dict[str, dict[str, str]]:
    """The failure of a job whose deadline passed, by what it waited for."""
    codes = {"": "deadline_exceeded", **FAILED_AFTER_WAITING}
    return {
        waited_for: {"code": code, "message": sentence(code)} for waited_for, code in codes.items()
    }
