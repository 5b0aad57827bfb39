"""Scheduled checks, and the record of each one's last run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from aifeature.models import CheckRun
from aifeature.models.functions import database_now

logger = logging.getLogger(__name__)

BROKE_OFF: Final = "It broke off"
"""Prefix of the result of a run that raised."""

_LAST = ("began_at", "ended_at", "ok", "result", "figures")


@dataclass(frozen=True, slots=True)
class Found:
    """Result of a check. `ok` means that no action is needed."""

    ok: bool
    result: str
    """One sentence."""
    figures: Mapping[str, Any] = field(default_factory=dict)


def run(name: str, check: Callable[[], Found]) -> Found:
    """Run a check and record the result. An exception is recorded and raised again.

    A run that raised does not update `completed_at`, so the check becomes late. Times come from
    the database.
    """
    began = database_now()
    try:
        found = check()
    except Exception as error:
        result = f"{BROKE_OFF}: {type(error).__name__}."
        _write(name, began, Found(ok=False, result=result), completed=False)
        raise
    _write(name, began, found, completed=True)
    if not found.ok:
        logger.warning("check %s: %s", name, found.result)
    return found


def _write(name: str, began: datetime, found: Found, *, completed: bool) -> None:
    ended = database_now()
    run = CheckRun(
        name=name,
        began_at=began,
        ended_at=ended,
        completed_at=ended if completed else None,
        ok=found.ok,
        result=found.result,
        figures=dict(found.figures),
    )
    CheckRun.objects.bulk_create(
        [run],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=[*_LAST, "completed_at"] if completed else _LAST,
    )
