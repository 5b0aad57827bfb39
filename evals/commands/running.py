"""The commands `run`, `aa` and `gate`: they start or resume runs and drive them to verdicts."""

from __future__ import annotations

import argparse

from aifeature import prompts, registry
from aifeature.services import controls
from evals import base, gate
from evals.commands import driving, named, starting
from evals.harness import conclude, costs, drive, plan
from evals.models import Run
from evals.report import words
from evals.usage import UsageError


def run(options: argparse.Namespace) -> int:
    """Evaluate prompts of features on their suites, or resume a run."""
    is_new = options.resume is None
    if not is_new and (given := " and ".join(_of_new_runs(options))):
        raise UsageError(f"--resume continues a run as it started: leave out {given}.")
    starting.check_ready()
    if not is_new:
        return _resume(named.run(options.resume), options)
    slugs = list(dict.fromkeys(options.features)) or named.with_suite()
    if options.suite and len(slugs) > 1:
        raise UsageError("--suite goes with one feature: name it.")
    wanted = []
    for slug in slugs:
        feature = named.feature(slug)
        candidate = options.prompt or prompts.versions(slug)[-1]
        usual = named.baseline(feature)
        against = options.against or (usual if usual != candidate else None)
        wanted.append(starting.choose(feature, candidate, against, options))
    return driving.drive_runs(starting.start(wanted, options))


def _of_new_runs(options: argparse.Namespace) -> list[str]:
    """Return the arguments that were given and that only a new run can follow."""
    values = {
        "FEATURE": options.features,
        "--against": options.against,
        "--prompt": options.prompt,
        "--repeats": options.repeats,
        "--suite": options.suite,
        "--no-reuse": options.no_reuse,
    }
    return [name for name, value in values.items() if value]


def _resume(run: Run, options: argparse.Namespace) -> int:
    if changed := plan.changes_since(run):
        raise UsageError("\n".join([*changed, "Start a new run instead."]))
    doubtful = conclude.doubtful(run)
    left = drive.left(run, doubtful=doubtful)
    if run.state == Run.State.ENDED and not left:
        raise UsageError(
            f"All samples of the run {run.pk} are scored. `report {run.pk}` shows them."
        )
    cap_micro = starting.cap_micro(options) if options.max_usd else run.cap_micro
    estimate = costs.estimate(run, registry.get(run.feature), left)
    print(
        f"{words.versions(run)}: {starting.calls(estimate)}, about {costs.dollars(estimate.micro)}"
        f" (at most {costs.dollars(max(cap_micro, run.cap_micro))} in all)."
    )
    if options.ask and not starting.agreed():
        raise UsageError("Nothing was started, and nothing was spent.")
    drive.reopen(run, cap_micro=cap_micro, doubtful=doubtful)
    return driving.drive_runs([run])


def run_against_itself(options: argparse.Namespace) -> int:
    """Evaluate a prompt against itself."""
    starting.check_ready()
    feature = named.feature(options.feature)
    version = options.prompt or controls.prompt_version(feature)
    wanted = starting.choose(feature, version, version, options)
    return driving.drive_runs(starting.start([wanted], options))


def run_gate(options: argparse.Namespace) -> int:
    """Evaluate the features of a change against its base, and write the results for a forge."""
    known = base.read(options.base)
    slugs = list(dict.fromkeys(options.features)) or named.with_suite()
    checks = [gate.check(named.feature(slug), known) for slug in slugs]
    wanted = [each for each in checks if each.changed or not options.changed]
    for line in gate.lines(checks, wanted, known):
        print(line, flush=True)
    runs = []
    if wanted:
        starting.check_ready()
        runs = starting.start([_of_check(each, options) for each in wanted], options)
        driving.drive_runs(runs)
    found = gate.results(checks, runs)
    for line in gate.publish(found, known, xml=options.junit, summary=options.summary):
        print(line)
    return gate.exit_code(found)


def _of_check(of: gate.Check, options: argparse.Namespace) -> plan.Wanted:
    return starting.choose(of.feature, of.subject.version, of.baseline, options)
