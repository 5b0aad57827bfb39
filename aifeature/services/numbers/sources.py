"""Sums jobs, calls, votes and findings of guards, and stores the sums.

Each function replaces all rows of a time, so that it may run again at any moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from aifeature.models.numbers import HOUR_S
from aifeature.policies.buckets import EDGES_MS
from aifeature.reasons import FAULTS, OTHER_HARMS
from aifeature.services.controls import GLOBAL
from aifeature.services.monitoring.held_time import holds
from aifeature.services.numbers import statements
from aifeature.services.numbers.stages import spans

OLDEST: Final = timedelta(days=31)
"""Longest life of a job: a person may take 30 days to decide about its answer."""


def sum_up(since: datetime, until: datetime, *, span_s: int) -> int:
    """Replace the rows of this length from the sources. Return the number of changed rows.

    Args:
        since: The beginning of a row.
        until: The first moment that does not count.
        span_s: Seconds of a row, 300 or 3600.
    """
    on, stages = holds(since - OLDEST), spans(since - OLDEST)
    values: dict[str, Any] = {
        "span": span_s,
        "since": since,
        "until": until,
        "everything": GLOBAL,
        "edges": list(EDGES_MS),
        "faults": sorted(FAULTS),
        "counted": sorted(FAULTS | OTHER_HARMS),
        "stage_features": [each.feature for each in stages],
        "stages": [each.stage for each in stages],
        "stage_begins": [each.begins for each in stages],
        "stage_ends": [each.ends for each in stages],
        "hold_features": [each.feature for each in on],
        "hold_begins": [each.begins for each in on],
        "hold_ends": [each.ends for each in on],
        "hold_percents": [each.percent for each in on],
    }
    return _run(statements.FROM_SOURCES[bool(on)], values)


def sum_hours(since: datetime, until: datetime) -> int:
    """Replace the rows of hours by the sums of those of five minutes."""
    return _run(statements.HOURS, {"span": HOUR_S, "since": since, "until": until})


def sum_day(begin: datetime) -> int:
    """Store the users and the spend of the UTC day that begins then."""
    end = begin + timedelta(days=1)
    return _run(statements.DAYS, {"day": begin.date(), "since": begin, "until": end})


def _run(statement: str, values: Mapping[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        changed: int = cursor.rowcount
        return changed
