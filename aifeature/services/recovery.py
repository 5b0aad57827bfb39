"""Keeps every job moving to its end, whoever was killed. Run often, by anybody, at any time."""

from __future__ import annotations

import logging

from aifeature.models import transitions
from aifeature.services import dispatch
from aifeature.services.messages import FAILED_AFTER_WAITING, sentence

logger = logging.getLogger(__name__)

BATCH = 500


def sweep() -> int:
    """End what is overdue, then fill the window. Returns how many jobs were handed over."""
    ended = len(transitions.end_overdue(limit=BATCH, ends=_ends()))
    while transitions.end_abandoned(ends=_ends()):
        ended += 1
    if ended:
        logger.info("%d jobs ended, their time was up", ended)
    return dispatch.refill()


def _ends() -> dict[str, dict[str, str]]:
    """The failure of a job whose deadline passed, by what it waited for."""
    codes = {"": "deadline_exceeded", **FAILED_AFTER_WAITING}
    return {
        waited_for: {"code": code, "message": sentence(code)} for waited_for, code in codes.items()
    }
