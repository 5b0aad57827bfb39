"""The commands `compare`, `report`, `rescore` and `list`: stored runs, without a call."""

from __future__ import annotations

import argparse
import sys

from aifeature import registry
from aifeature.services.promotion import subjects
from evals import report, resuming
from evals.commands import codes, driving, named
from evals.harness import conclude, plan, proof
from evals.harness.drive import Driver
from evals.models import Run
from evals.report import words
from evals.statistics.verdict import Decision
from evals.usage import UsageError


def compare(options: argparse.Namespace) -> int:
    """Compare the candidates of two runs."""
    baseline, run = named.run(options.baseline), named.run(options.run)
    if baseline == run:
        raise UsageError("Both are the same run. `aa` evaluates a prompt against itself.")
    if problems := conclude.incomparable(run, baseline):
        print("\n".join(problems), file=sys.stderr)
        return codes.UNFINISHED
    found = conclude.as_json(conclude.verdict(run, baseline=baseline))
    for line in report.summary(run, found, against=baseline.arms[plan.CANDIDATE]["version"]):
        print(line)
    return conclude.EXIT[Decision(found["decision"])]


def write_report(options: argparse.Namespace) -> int:
    """Write the report of a run, and print its path."""
    print(report.write(named.run(options.run), to=options.output))
    return 0


def rescore(options: argparse.Namespace) -> int:
    """Score the stored outputs of a run again, and conclude it with them."""
    run = named.run(options.run)
    if run.outputs_deleted_at is not None:
        raise UsageError(f"{words.outputs_deleted(run)} Start a new run to score them.")
    with conclude.locked(run):  # old and new scores do not mix
        if run.state != Run.State.ENDED:
            raise UsageError(f"The run {run.pk} has not ended. {resuming.sentence(run.pk)}")
        Driver(run).rescore()
        run.scorer_hash = subjects.scorer_hash(registry.get(run.feature))
        run.save(update_fields=["scorer_hash"])
        concluded = bool(conclude.conclude(run))
    if not concluded:
        raise UsageError(f"The run {run.pk} is under way again. {resuming.sentence(run.pk)}")
    proof.record(run)
    return driving.print_verdict(run)


def list_runs(options: argparse.Namespace) -> int:
    """Print runs, newest first."""
    runs = Run.objects.with_driver().order_by("-created_at")
    if options.feature:
        runs = runs.filter(feature=options.feature)
    for run in runs[: options.most]:
        decision = run.verdict["decision"] if run.verdict else run.state
        if run.is_abandoned:
            decision = f"{words.abandoned(run)}; continue with: {words.resume(run)}"
        versions = " against ".join(arm["version"] for arm in run.arms.values())
        when = f"{run.created_at:%Y-%m-%d %H:%M}"
        print(f"{run.pk}  {when}  {run.feature:<12} {versions:<16} {decision}")
    return 0
