"""Runs a scheduled check and keeps how its last run went, for admin and for the watchers."""

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
"""How the result of a run that did not come to its end begins."""

_LAST = ("began_at", "ended_at", "ok", "result", "figures")


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found. `ok`: nothing that anybody must act on."""

    ok: bool
    result: str
    """One sentence."""
    figures: Mapping[str, Any] = field(default_factory=dict)


def run(name: str, check: Callable[[], Found]) -> Found:
    """Run a check and write down how it went; what it raises is written down and raised.

    A run that breaks off leaves `completed_at` as it was: such a check becomes late. Times are the
    database's.
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
