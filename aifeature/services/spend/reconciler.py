"""The check that compares each spend window with the sum of the ledger, and corrects it.

A wrong window refuses calls without cause or accepts too many.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

from aifeature.models import reconciliation
from aifeature.models.functions import database_now
from aifeature.services.alerting import alerts
from aifeature.services.alerting.check_runs import Found

logger = logging.getLogger(__name__)

DAYS_BACK: Final = 1
"""Calls of yesterday may end today. Older ones change only by settlement."""

SHOWN: Final = 20


def check() -> Found:
    """Compare and repair. The alert about drift is closed by the next clean run."""
    since = database_now().date() - timedelta(days=DAYS_BACK)
    drifts = reconciliation.reconcile(since, repair=True)
    for drift in drifts:
        logger.error(
            "window %s %s %s was %+d spent, %+d held and %+d own micro-dollars off the ledger;"
            " repaired",
            *(drift.scope, drift.key, drift.day),
            *(drift.spent_micro, drift.held_micro, drift.own_spend_micro),
        )
    if not drifts:
        alerts.end("drift", "windows")
        return Found(ok=True, result="Every window is the sum of the ledger.")
    figures = {
        f"{drift.scope} {drift.key} {drift.day}": [
            drift.spent_micro,
            drift.held_micro,
            drift.own_spend_micro,
        ]
        for drift in drifts[:SHOWN]
    }
    result = f"{len(drifts)} windows differed from the ledger and were corrected."
    alerts.begin("drift", "windows", result, figures)
    return Found(ok=False, result=result, figures=figures)
