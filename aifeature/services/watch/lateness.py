"""Which scheduled checks are late, by the database's clock."""

from __future__ import annotations

from typing import Any, Final

from django.db import Error as DatabaseError
from django_celery_beat.models import PeriodicTask

from aifeature.models import watch
from aifeature.models.watch import CheckAge
from aifeature.services.alerting import check_runs
from aifeature.services.watch import gaps
from aifeature.services.watch.findings import Finding

CHECK_LATE: Final = "check_late"


def late() -> list[Finding]:
    """The checks of the code's schedule that have not run to their end for too long.

    Each is judged by the interval that the code means, and by that of its row where that one is
    shorter: a row that was disabled or slowed down makes no check less late.
    """
    code = gaps.sent_every()
    rows = _enabled_rows(list(code))
    return [
        _finding(age, gap, rows.get(age.task, []))
        for age in watch.check_ages(list(code))
        if age.age_s > gaps.allowed_s(gap := _gap(age.task, code[age.task], rows))
    ]


def _gap(task: str, code: float, rows: dict[str, list[Any]]) -> float:
    """Seconds between two runs as they should be."""
    known = [found for row in rows.get(task, []) if (found := _row_gap(row)) is not None]
    return gaps.run_every(task, min([code, *known]))


def _row_gap(row: Any) -> float | None:
    try:
        return gaps.gap_s(row.schedule)
    except DatabaseError:
        raise
    except Exception:  # noqa: BLE001 (beat reports a row that cannot be read)
        return None


def _enabled_rows(tasks: list[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in PeriodicTask.objects.filter(task__in=tasks, enabled=True):
        found.setdefault(row.task, []).append(row)
    return found


def _finding(age: CheckAge, gap: float, rows: list[Any]) -> Finding:
    since = f"since {age.completed_at:%Y-%m-%d %H:%M:%S} UTC" if age.completed_at else "yet"
    return Finding(
        CHECK_LATE,
        age.task,
        f"{age.task} has not run to its end {since}; it should every {gap:g} seconds."
        f" {_cause(age, gap, rows)}",
        {"age_s": round(age.age_s), "every_s": gap, "last_result": age.result},
    )


def _cause(age: CheckAge, gap: float, rows: list[Any]) -> str:
    if not rows:
        return "No enabled row under Periodic tasks sends it: enable or add one."
    slow = [found for row in rows if (found := _row_gap(row)) is not None]
    if slow and gaps.run_every(age.task, min(slow)) > gap:
        return f"Its row under Periodic tasks sends it every {min(slow):g} seconds: shorten that."
    if age.result.startswith(check_runs.BROKE_OFF):
        return f"{age.result} The log of the control worker says where."
    return "Look at beat and at the control worker."
