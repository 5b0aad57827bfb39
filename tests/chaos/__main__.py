"""`make chaos`: runs the whole system under faults and checks that it kept its promises.

The last line on stdout is one JSON object. The exit code is 1 if a promise was broken or the run
was not as planned; then the logs are kept.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

from project.stack.local_dir import CHECKOUT
from tests.chaos import plan
from tests.chaos.checks import violations
from tests.chaos.evidence import Evidence
from tests.chaos.report import figures, progress, table, violation_report
from tests.chaos.run import Run, carry_out
from tests.chaos.stack import running_system

LONG: Final = Run(
    jobs=3_000,
    faults=44,
    span_s=500.0,
    settle_s=150.0,
    users=40,
    user_budget_usd="3.00",
    attack_rounds=5,
    hasty_per_minute=8,
    provider_per_minute=420,
    short=False,
)
SHORT: Final = Run(
    jobs=300,
    faults=len(plan.Kind),
    span_s=65.0,
    settle_s=150.0,
    users=20,
    user_budget_usd="1.20",
    attack_rounds=2,
    hasty_per_minute=6,
    provider_per_minute=200,
    short=True,
)
SPARE_S: Final = 300
"""Seconds for the start and the end of the processes. A run that takes longer hangs."""


def main() -> int:
    """Run, check and report. Return the exit code."""
    options = _options()
    run = options.run
    for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(signum, _exit)
    signal.alarm(int(run.span_s + run.settle_s + SPARE_S))
    faults = plan.schedule(seed=options.seed, count=run.faults, span_s=run.span_s, short=run.short)
    progress(f"SEED={options.seed} JOBS={run.jobs} FAULTS={len(faults)}")
    for fault in faults:
        progress(str(fault))
    progress("starting the system")
    with running_system(
        users=run.users,
        user_budget_usd=run.user_budget_usd,
        provider_per_minute=run.provider_per_minute,
    ) as stack:
        logs = stack.servers.launcher.logs
        try:
            evidence = carry_out(stack, run, faults, seed=options.seed)
        except (subprocess.SubprocessError, OSError, RuntimeError):
            _keep(logs, options.keep)
            raise
        found = violations(evidence)
        made = figures(evidence, found, seed=options.seed)
        if found:
            text = violation_report(evidence, found)
            _keep(logs, options.keep)
            _write_evidence(evidence, options.keep)
            (options.keep / "violations.txt").write_text(text)
            sys.stdout.write(text + "\n")
            again = f"make chaos SEED={options.seed}{' SHORT=1' if run.short else ''}"
            progress(f"logs and evidence: {options.keep}; again: {again}")
        sys.stdout.write(table(evidence, made))
    sys.stdout.write(json.dumps({"chaos": made}) + "\n")
    return 1 if found else 0


def _keep(logs: Path, keep: Path) -> None:
    shutil.rmtree(keep, ignore_errors=True)
    shutil.copytree(logs, keep)


def _write_evidence(evidence: Evidence, folder: Path) -> None:
    """Write the rows that the checks read, for people."""
    tables = "jobs attempts windows changes calls requests faults drifts trips"
    for name in tables.split():
        lines = (json.dumps(asdict(row)) for row in getattr(evidence, name))
        (folder / f"{name}.jsonl").write_text("\n".join(lines))


def _exit(signum: int, _frame: FrameType | None) -> None:
    """Exit by an exception, so that all processes are stopped."""
    signal.alarm(0)
    sys.exit(f"chaos: ended by {signal.Signals(signum).name}")


class _Options(NamedTuple):
    seed: int
    run: Run
    keep: Path


def _options() -> _Options:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="repeats a schedule")
    parser.add_argument("--short", action="store_true", help="two minutes")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--faults", type=int)
    parser.add_argument("--minutes", type=float, help="time over which jobs and faults are spread")
    parser.add_argument("--keep", type=Path, help="folder for the logs of a run that failed")
    given = parser.parse_args()
    size = SHORT if given.short else LONG
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)
    run = replace(
        size,
        jobs=given.jobs or size.jobs,
        faults=given.faults or size.faults,
        span_s=given.minutes * 60 if given.minutes else size.span_s,
    )
    return _Options(seed, run, given.keep or CHECKOUT / ".local" / f"chaos-{seed}")


if __name__ == "__main__":
    sys.exit(main())
