"""The command `weekly`."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from typing import Final

from evals.commands import codes, driving, named, starting
from evals.models import WeeklyRun
from evals.progress import Bar
from evals.usage import UsageError
from evals.weekly import rows, steps, ticks

EXIT: Final[dict[str, int]] = {
    WeeklyRun.State.PASSED: 0,
    WeeklyRun.State.UNCONFIRMED: 0,
    WeeklyRun.State.CONFIRMED: 1,
}
"""Exit codes of weekly runs with a result."""


def run_weekly(options: argparse.Namespace) -> int:
    """Evaluate live prompts now, as the schedule does each week, and act on a regression."""
    starting.check_ready()
    given = [named.feature(slug) for slug in dict.fromkeys(options.features)]
    features = given or rows.live_features()
    if problems := [problem for feature in features if (problem := rows.why_not(feature))]:
        raise UsageError("\n".join(problems))
    if not features:
        raise UsageError("No feature with a suite is live. Activate a prompt first.")
    planned = rows.plan(features)
    try:
        return codes.worst([_followed(weekly) for weekly in planned])
    except KeyboardInterrupt:
        on = "The worker of the queue evals goes on with it, if beat runs."
        print(f"\nInterrupted. {on} Admin shows it under Regression runs.", file=sys.stderr)
        return codes.UNFINISHED


def _followed(weekly: WeeklyRun, *, sleep: Callable[[float], None] = time.sleep) -> int:
    """Drive a weekly run to its end, print it, and return the exit code."""
    bar = Bar([weekly.feature])
    shown = None
    while weekly.is_under_way:
        progress = ticks.advance(weekly, steps, until=math.inf)
        weekly.refresh_from_db()
        if weekly.current is not None and weekly.current.pk != shown:
            shown = weekly.current.pk
            print(f"{weekly.feature} {weekly.version}: {weekly.get_state_display()}, run {shown}")
        if progress is not None:
            bar.set(weekly.feature, progress)
            bar.show()
            sleep(driving.POLL_S)
    bar.end()
    print(f"{weekly.feature} {weekly.version}: {weekly.get_state_display()}. {weekly.note}")
    for mark in weekly.marks:
        print(f"  {mark['text']}")
    return EXIT.get(weekly.state, codes.UNFINISHED)
