"""Drives runs to their verdicts, and prints their ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from evals import report, resuming
from evals.commands import codes
from evals.harness import conclude, plan, proof
from evals.harness.drive import Driver
from evals.models import Run
from evals.progress import Bar
from evals.statistics.verdict import Decision

POLL_S: Final = 0.3


def drive_runs(
    runs: Sequence[Run],
    *,
    sleep: Callable[[float], None] = time.sleep,
    ended: Callable[[Run], int] | None = None,
) -> int:
    """Drive runs to their verdicts side by side, print these, and return the exit code.

    `ended` prints the end of a run, by default all of it with a report.
    """
    end = ended or print_end
    bar = Bar([run.feature for run in runs])
    drivers = [Driver(run) for run in runs]
    try:
        while drivers:
            drivers = [driver for driver in drivers if _is_under_way(driver, bar)]
            bar.show()
            if drivers:
                sleep(POLL_S)
    except KeyboardInterrupt:
        ids = [run.pk for run in runs if run.state != Run.State.ENDED]
        print(f"\nInterrupted. {resuming.after_interrupt(*ids)}", file=sys.stderr)
        for run in runs:
            if run.state == Run.State.ENDED:
                end(run)
        return codes.UNFINISHED
    bar.end()
    return codes.worst([end(run) for run in runs])


def _is_under_way(driver: Driver, bar: Bar) -> bool:
    """Do what can be done now for a run, and return whether it needs more.

    A complete run is concluded immediately: others may take hours, or be interrupted.
    """
    progress = driver.step()
    run = driver.run
    bar.set(run.feature, progress)
    if progress.is_complete and not driver.add_fresh(_without_fresh(run)):
        proof.conclude_run(run)
    run.refresh_from_db(fields=["state", "note", "verdict", "ended_at", "cap_micro"])
    return run.state == Run.State.RUNNING


def _without_fresh(run: Run) -> list[str]:
    """Return the doubtful cases that have no fresh repeats yet."""
    known = set(run.samples.filter(arm=plan.FRESH).values_list("case", flat=True))
    return [case for case in conclude.doubtful(run) if case not in known]


def print_end(run: Run) -> int:
    """Print the end of a run, and return its exit code."""
    if run.state == Run.State.STOPPED:
        note = f"{run.note} {resuming.sentence(run.pk)}"
        print(f"The run {run.pk} of {run.feature} has stopped: {note}", file=sys.stderr)
        return codes.UNFINISHED
    return print_verdict(run)


def print_verdict(run: Run) -> int:
    """Print the verdict of an ended run, write its report, and return its exit code."""
    found: dict[str, Any] = run.verdict or {}
    for line in report.summary(run, found):
        print(line)
    try:
        print(f"Report: {report.write(run).resolve()}")
    except Exception as error:  # noqa: BLE001 (the verdict counts without a report)
        problem = f"{type(error).__name__}: {error}"
        again = f"`report {run.pk}` tries it again."
        print(f"There is no report of {run.feature}: {problem}. {again}", file=sys.stderr)
    for line in proof.of_run(run):
        print(line)
    print(f"Pass rate: {found['candidate']['rate']:.1%}" if found["candidate"] else "No pass rate.")
    return conclude.EXIT[Decision(found["decision"])]
