"""`python -m tests.bench.numbers_operations`: times the numbers on the configured database.

Prints the median milliseconds as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import django

AIMS = {
    **dict.fromkeys(("errors", "latency", "cost", "thumbs_down", "evals", "hallucinations"), 300),
    "all_readings": 3000,
    "tick": 200,
    "window_28_days": 150,
    "window_28_days_by_version": 150,
    "points_28_days_by_hour": 150,
    "points_28_days_by_day": 150,
    "points_2_days_by_5_minutes": 150,
}
"""The longest median of each operation in milliseconds."""

REPEATS = 15
WARM_UP = 2
SLUG = "summarize"


def main() -> None:
    django.setup()
    timed: dict[str, float] = {}
    for name, operation in _operations():
        timed[f"{name}_ms"] = _median_ms(operation)
    sys.stdout.write(json.dumps(timed) + "\n")


def _operations() -> Iterator[tuple[str, Callable[[], Any]]]:
    # These read the settings and the app registry.
    from django.db import connection  # noqa: PLC0415

    from aifeature.models.functions import database_now  # noqa: PLC0415
    from aifeature.services.numbers import readings, rollup, series, six, windows  # noqa: PLC0415

    now = database_now()
    begun = time.monotonic()
    rollup.backfill(now - timedelta(days=28), now)
    for _ in range(30):  # the history before is made up
        rollup.roll_up(now)
    sys.stderr.write(f"28 days were summed in {time.monotonic() - begun:.1f} s\n")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    for name, measure in six.MEASURES.items():
        yield name.value, partial(measure, SLUG, now)
    yield "all_readings", lambda: readings.measure(now)
    yield "tick", lambda: rollup.roll_up(database_now())
    month, days = timedelta(days=28), timedelta(days=2)
    yield "window_28_days", lambda: windows.sums(SLUG, now - month, now)
    yield (
        "window_28_days_by_version",
        lambda: windows.sums(SLUG, now - month, now, by=windows.By.VERSION),
    )
    yield "points_28_days_by_hour", lambda: series.points(SLUG, now - month, now, 3600)
    yield "points_28_days_by_day", lambda: series.points(SLUG, now - month, now, 86_400)
    yield "points_2_days_by_5_minutes", lambda: series.points(SLUG, now - days, now, 300)


def _median_ms(operation: Callable[[], Any]) -> float:
    times = []
    for _ in range(WARM_UP + REPEATS):
        begun = time.perf_counter()
        operation()
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times[WARM_UP:])


if __name__ == "__main__":
    main()
