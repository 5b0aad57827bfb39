"""The tasks of the schedule: plan the weekly runs, and take them further in short steps.

Everything is in rows, so a killed worker loses nothing. A tick works for some seconds at most,
because the worker has few threads, and these also run the jobs of the evaluations.
"""

from __future__ import annotations

import logging
import time
from importlib import import_module
from typing import TYPE_CHECKING, Final

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F
from django.db.models.functions import Now

from aifeature import prompts, suites
from aifeature.services import ticks
from aifeature.services.alerting.check_runs import Found
from evals.harness import plan
from evals.models import WeeklyRun
from evals.weekly import rows

if TYPE_CHECKING:
    from types import ModuleType

    from evals.harness.drive import Progress

logger = logging.getLogger(__name__)

WEEKLY: Final = "evals.weekly"
DRIVE: Final = "evals.drive"
"""The names of the tasks."""

TICK_S: Final = 10.0
"""Seconds after which a tick begins no further step."""

MOST_ERRORS: Final = 2
"""Failures of the driver after which a run has no result."""

EXPLAINED: Final = (plan.PlanError, prompts.PromptError, suites.SuiteError)
"""Errors whose text names the cause, and which a repetition does not fix."""


def begin() -> Found:
    """Plan a weekly run of each live feature, once a day.

    An operator may edit the schedule to other days, and each of them counts.
    """
    with transaction.atomic():  # the slot is free again if no row is stored
        slot = ticks.take(WEEKLY, ticks.DAILY)
        if slot is None:
            return Found(ok=True, result="The runs of today are planned already.")
        features = rows.live_features()
        planned = rows.plan(features, slot=slot.date())
    rows.end_alerts_of_others(features)
    names = ", ".join(weekly.feature for weekly in planned) or "none, because no feature is live"
    return Found(ok=True, result=f"Planned regression runs: {names}.")


def drive(*, for_s: float = TICK_S) -> Found:
    """Take each open run a step further, for some seconds in all."""
    until = time.monotonic() + for_s
    open_runs = list(rows.under_way())
    if not open_runs:
        return Found(ok=True, result="No regression run is under way.")
    try:
        steps = import_module("evals.weekly.steps")
    except ModuleNotFoundError as error:
        return _without_extra(open_runs, error.name or "of the extra `evals`")
    for weekly in open_runs:
        if time.monotonic() >= until:
            break
        advance(weekly, steps, until=until)
    return Found(ok=True, result=f"Under way: {', '.join(each.feature for each in open_runs)}.")


def advance(weekly: WeeklyRun, steps: ModuleType, *, until: float) -> Progress | None:
    """Take one step of a run, and return its progress, if it is under way.

    A run whose steps fail twice ends without a result.

    Raises:
        OperationalError, InterfaceError: The database is unavailable. The next tick tries again.
    """
    try:
        progress: Progress | None = steps.step(weekly, until=until)
    except (OperationalError, InterfaceError):
        raise
    except EXPLAINED as error:
        rows.give_up(weekly, f"{str(error).rstrip('.')}.")
    except Exception as error:
        logger.exception("regression run %s of %s: a step failed", weekly.pk, weekly.feature)
        WeeklyRun.objects.filter(pk=weekly.pk).update(errors=F("errors") + 1, driven_at=Now())
        if weekly.errors + 1 >= MOST_ERRORS:
            rows.give_up(
                weekly,
                f"Its driver failed {MOST_ERRORS} times, the last time with"
                f" {type(error).__name__}: see the log of the worker of the queue evals.",
            )
    else:
        return progress
    return None


def _without_extra(open_runs: list[WeeklyRun], package: str) -> Found:
    why = (
        f"The worker of the queue evals has no package {package}: install the extra `evals`"
        " (pip install 'aifeature[evals]'), and restart the worker."
    )
    for weekly in open_runs:
        rows.give_up(weekly, why)
    return Found(ok=False, result=why)
