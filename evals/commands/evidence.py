"""The commands `record`, `check-evidence` and `export`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from evals import recorded, recording, report
from evals.commands import codes, driving, named, starting
from evals.harness import conclude, plan, repeats
from evals.models import Run
from evals.report import words
from evals.statistics.verdict import Decision
from evals.usage import UsageError


def record(options: argparse.Namespace) -> int:
    """Evaluate all prompts with the sandbox, and write their evidence into the repository."""
    starting.check_ready()
    cap_micro = starting.cap_micro(options)

    def run(chosen: Sequence[recording.Chosen]) -> None:
        wanted = [
            plan.Wanted(feature, version, against, repeats.UNKNOWN, cap_micro, suite)
            for feature, version, against in chosen
            for suite in [named.suite(feature)]
        ]
        runs = starting.start(wanted, options)
        if driving.drive_runs(runs, ended=_in_short) == codes.UNFINISHED:
            raise UsageError("A run has no verdict, so nothing was recorded.")

    found = recording.record(run)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(recorded.text(found), encoding="utf-8")
    print(f"Recorded: {options.output}, {words.count(len(found.rows), 'version')}.")
    return 0


def _in_short(run: Run) -> int:
    """Print the decision on a run without its report, and return its exit code."""
    if run.state != Run.State.ENDED:
        return driving.print_end(run)
    found: dict[str, Any] = run.verdict or {}
    print(next(iter(report.summary(run, found))))
    return conclude.EXIT[Decision(found["decision"])]


def check(_options: argparse.Namespace) -> int:
    """Check the recorded evidence against the repository, without a database."""
    found = recording.check(recorded.read())
    for problem in found:
        print(problem, file=sys.stderr)
    return codes.WRONG if found else 0


def export(options: argparse.Namespace) -> int:
    """Write this provider's evidence to a file."""
    if options.follow:
        recording.follow()
    found = recording.exported()
    if not found.rows:
        print("There is no evidence to export.", file=sys.stderr)
        return 0
    options.file.write_text(recorded.text(found), encoding="utf-8")
    print(f"Evidence: {options.file}. `manage.py load_evidence {options.file}` loads it elsewhere.")
    return 0
