"""Runs a scheduled check and keeps how its last run went, for admin to show."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from aifeature.models import CheckRun

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found. `ok`: nothing that anybody must act on."""

    ok: bool
    result: str
    """One sentence."""
    figures: Mapping[str, Any] = field(default_factory=dict)


def run(name: str, check: Callable[[], Found]) -> Found:
    """Run a check and write down how it went; what it raises is written down and raised.

    Times are the database's.
    """
    began = _now()
    try:
        found = check()
    except Exception as error:
        _write(name, began, Found(ok=False, result=f"It broke off: {type(error).__name__}."))
        raise
    _write(name, began, found)
    if not found.ok:
        logger.warning("check %s: %s", name, found.result)
    return found


def _write(name: str, began: Any, found: Found) -> None:
    CheckRun.objects.update_or_create(
        name=name,
        defaults={
            "began_at": began,
            "ended_at": _now(),
            "ok": found.ok,
            "result": found.result,
            "figures": dict(found.figures),
        },
    )


def _now() -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        return cursor.fetchone()[0]
