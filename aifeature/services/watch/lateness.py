"""Late scheduled checks, by the database's clock."""

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
    """Return the checks of the code's schedule that have not completed for too long.

    The shorter of the code's interval and the row's counts. So an operator who disables or slows
    down the row does not extend the limit.
    """
    code = gaps.sent_every()
    rows = _enabled_rows(list(code))
    return [
        _finding(age, gap, rows.get(age.task, []))
        for age in watch.check_ages(list(code))
        if age.age_s > gaps.allowed_s(gap := _gap(age.task, code[age.task], rows))
    ]


def _gap(task: str, code: float, rows: dict[str, list[Any]]) -> float:
    """Return the intended seconds between two runs."""
    of_rows = [gap for row in rows.get(task, []) if (gap := _row_gap(row)) is not None]
    return gaps.run_every(task, min([code, *of_rows]))


def _row_gap(row: Any) -> float | None:
    try:
        return gaps.gap_s(row.schedule)
    except DatabaseError:
        raise
    except Exception:  # noqa: BLE001 (beat reports a row that cannot be read)
        return None


def _enabled_rows(tasks: list[str]) -> dict[str, list[Any]]:
    by_task: dict[str, list[Any]] = {}
    for row in PeriodicTask.objects.filter(task__in=tasks, enabled=True):
        by_task.setdefault(row.task, []).append(row)
    return by_task


def _finding(age: CheckAge, gap: float, rows: list[Any]) -> Finding:
    since = f"since {age.completed_at:%Y-%m-%d %H:%M:%S} UTC" if age.completed_at else "yet"
    return Finding(
        CHECK_LATE,
        age.task,
        f"{age.task} has not run to its end {since}; it should run every {gap:g} seconds."
        f" {_cause(age, gap, rows)}",
        {"age_s": round(age.age_s), "every_s": gap, "last_result": age.result},
    )


def _cause(age: CheckAge, gap: float, rows: list[Any]) -> str:
    queue = age.task.partition(".")[0]
    if not rows:
        return "No enabled row under Periodic tasks sends it: enable or add one."
    sent = [each for row in rows if (each := _row_gap(row)) is not None]
    if sent and gaps.run_every(age.task, min(sent)) > gap:
        return f"Its row under Periodic tasks sends it every {min(sent):g} seconds: shorten that."
    if age.result.startswith(check_runs.BROKE_OFF):
        return f"{age.result} See the log of the {queue} worker."
    return f"Check beat and the {queue} worker."
