"""The command `python -m evals`."""

from __future__ import annotations

import argparse
import math
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from django.db import transaction

from aifeature import prompts, registry, suites
from aifeature.money import MICRO_PER_USD
from aifeature.services import controls
from aifeature.services.promotion import subjects
from aifeature.spec import Feature
from evals import (
    adding,
    base,
    gate,
    ready,
    recorded,
    recording,
    report,
    resuming,
    suite_checks,
)
from evals.harness import conclude, costs, drive, plan, proof, repeats
from evals.harness.drive import Driver
from evals.models import Run, WeeklyRun
from evals.progress import Bar
from evals.report import words
from evals.statistics import power
from evals.statistics.verdict import Decision
from evals.usage import UsageError
from evals.weekly import rows, steps, ticks

POLL_S: Final = 0.3
WRONG: Final = 2
UNFINISHED: Final = 3
AGREED: Final = "yes"
AA_REPEATS: Final = 5
CAP_USD: Final = Decimal(10)
WEEKLY_EXIT: Final[dict[str, int]] = {
    WeeklyRun.State.PASSED: 0,
    WeeklyRun.State.UNCONFIRMED: 0,
    WeeklyRun.State.CONFIRMED: 1,
}
"""Exit codes of weekly runs with a result."""


def main(arguments: Sequence[str]) -> int:
    """Carry out a command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
    except (UsageError, plan.PlanError, prompts.PromptError, suites.SuiteError) as error:
        print(error, file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print(f"\nInterrupted. {resuming.sentence()}", file=sys.stderr)
        return UNFINISHED
    except Exception:  # noqa: BLE001 (1 would be a regression, and there is no verdict)
        traceback.print_exc()
        print(f"There is no verdict. {resuming.sentence()}", file=sys.stderr)
        return UNFINISHED
    return code


def _run(options: argparse.Namespace) -> int:
    is_new = options.resume is None
    if not is_new and (given := " and ".join(_of_new_runs(options))):
        raise UsageError(f"--resume continues a run as it started: leave out {given}.")
    _check_ready()
    if not is_new:
        return _resume(_found(options.resume), options)
    slugs = list(dict.fromkeys(options.features)) or _with_suite()
    if options.suite and len(slugs) > 1:
        raise UsageError("--suite goes with one feature: name it.")
    wanted = []
    for slug in slugs:
        feature = _feature(slug)
        candidate = options.prompt or prompts.versions(slug)[-1]
        active = controls.prompt_version(feature)
        against = options.against or (active if active != candidate else None)
        wanted.append(_wanted(feature, candidate, against, options))
    return _driven(_started(wanted, options))


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
    cap_micro = _cap_micro(options) if options.max_usd else run.cap_micro
    estimate = costs.estimate(run, registry.get(run.feature), left)
    print(
        f"{words.versions(run)}: {_calls(estimate)}, about {costs.dollars(estimate.micro)}"
        f" (at most {costs.dollars(max(cap_micro, run.cap_micro))} in all)."
    )
    if options.ask and not _agreed():
        raise UsageError("Nothing was started, and nothing was spent.")
    drive.reopen(run, cap_micro=cap_micro, doubtful=doubtful)
    return _driven([run])


def _cap_micro(options: argparse.Namespace) -> int:
    return int((options.max_usd or CAP_USD) * MICRO_PER_USD)


def _check_ready() -> None:
    if problem := ready.missing():
        raise UsageError(f"{problem} {ready.HINT}.")


def _aa(options: argparse.Namespace) -> int:
    _check_ready()
    feature = _feature(options.feature)
    version = options.prompt or controls.prompt_version(feature)
    return _driven(_started([_wanted(feature, version, version, options)], options))


def _gate(options: argparse.Namespace) -> int:
    """Evaluate the features of a change against its base, and write the results for a forge."""
    known = base.read(options.base)
    slugs = list(dict.fromkeys(options.features)) or _with_suite()
    checks = [gate.check(_feature(slug), known) for slug in slugs]
    wanted = [each for each in checks if each.changed or not options.changed]
    for line in gate.lines(checks, wanted, known):
        print(line, flush=True)
    runs = []
    if wanted:
        _check_ready()
        runs = _started([_of_check(each, options) for each in wanted], options)
        _driven(runs)
    found = gate.results(checks, runs)
    for line in gate.publish(found, known, xml=options.junit, summary=options.summary):
        print(line)
    return gate.exit_code(found)


def _of_check(of: gate.Check, options: argparse.Namespace) -> plan.Wanted:
    return _wanted(of.feature, of.subject.version, of.baseline, options)


def _with_suite() -> list[str]:
    return [slug for slug, feature in registry.all_features().items() if feature.suite]


def _wanted(
    feature: Feature, candidate: str, baseline: str | None, options: argparse.Namespace
) -> plan.Wanted:
    suite = _suite(feature, path=options.suite)
    wanted = plan.Wanted(
        feature=feature,
        candidate=candidate,
        baseline=baseline,
        repeats=options.repeats or repeats.UNKNOWN,
        cap_micro=_cap_micro(options),
        suite=suite,
    )
    return wanted if options.repeats else _with_repeats(wanted, reuse=not options.no_reuse)


def _suite(feature: Feature, *, path: Path | None = None) -> suites.Suite:
    suite = suites.load(feature, path=path)
    if problems := suite_checks.problems(feature, suite):
        raise UsageError("\n".join(problems))
    return suite


def _with_repeats(wanted: plan.Wanted, *, reuse: bool) -> plan.Wanted:
    """Return the wanted run with as many repeats as its answers need, and print why."""
    choice = repeats.choose(wanted.feature, wanted.suite)
    chosen = replace(wanted, repeats=choice.repeats)
    for rates in choice.rates:
        price = plan.estimate(replace(wanted, repeats=rates.repeats), reuse=reuse).micro
        mark = "  <- chosen" if rates.repeats == choice.repeats else ""
        print(
            f"  {words.count(rates.repeats, 'repeat')}, about {costs.dollars(price)}:"
            f" {power.badge(rates)}{mark}"
        )
    number = words.count(choice.repeats, "repeat")
    print(f"  {wanted.feature.slug}: {number} for each case. {choice.why}")
    return chosen


def _started(all_wanted: Sequence[plan.Wanted], options: argparse.Namespace) -> list[Run]:
    """Print the prices, and store the runs, all or none."""
    reuse = not options.no_reuse
    estimates = [plan.estimate(wanted, reuse=reuse) for wanted in all_wanted]
    for wanted, estimate in zip(all_wanted, estimates, strict=True):
        for sentence in plan.suite_changes(wanted.suite):
            print(f"{wanted.feature.slug}: {sentence}")
        against = f" against {wanted.baseline}" if wanted.baseline else ""
        print(
            f"{wanted.feature.slug} {wanted.candidate}{against}:"
            f" {words.count(len(wanted.suite.cases), 'case')},"
            f" {words.count(wanted.repeats, 'repeat')}, {_calls(estimate)},"
            f" about {costs.dollars(estimate.micro)} (at most {costs.dollars(wanted.cap_micro)})"
        )
    if options.ask:
        together = costs.dollars(sum(estimate.micro for estimate in estimates))
        print(f"Together about {together}, charged to your key.")
        if not _agreed():
            raise UsageError("Nothing was started, and nothing was spent.")
    with transaction.atomic():
        runs = [plan.start(wanted, reuse=reuse) for wanted in all_wanted]
    for run in runs:
        print(f"{run.feature}: run {run.pk}", flush=True)
    return runs


def _calls(estimate: costs.Estimate) -> str:
    by_judge = f" ({estimate.judgements:,} by the judge)" if estimate.judgements else ""
    return f"{words.count(estimate.answers + estimate.judgements, 'call')} to make{by_judge}"


def _agreed() -> bool:
    try:
        return input(f"Type {AGREED} to start: ").strip() == AGREED
    except EOFError:  # no terminal
        return False


def _driven(
    runs: Sequence[Run],
    *,
    sleep: Callable[[float], None] = time.sleep,
    ended: Callable[[Run], int] | None = None,
) -> int:
    """Drive runs to their verdicts side by side, print these, and return the exit code.

    `ended` prints the end of a run, by default all of it with a report.
    """
    end = ended or _ended
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
        return UNFINISHED
    bar.end()
    return _worst([end(run) for run in runs])


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


def _ended(run: Run) -> int:
    """Print the end of a run, and return its exit code."""
    if run.state == Run.State.STOPPED:
        note = f"{run.note} {resuming.sentence(run.pk)}"
        print(f"The run {run.pk} of {run.feature} has stopped: {note}", file=sys.stderr)
        return UNFINISHED
    return _print(run)


def _worst(codes: Sequence[int]) -> int:
    """Return the exit code of several runs: a regression counts more than a missing verdict."""
    return next((code for code in (1, *sorted(codes, reverse=True)) if code in codes), 0)


def _without_fresh(run: Run) -> list[str]:
    """Return the doubtful cases that have no fresh repeats yet."""
    known = set(run.samples.filter(arm=plan.FRESH).values_list("case", flat=True))
    return [case for case in conclude.doubtful(run) if case not in known]


def _print(run: Run) -> int:
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


def _weekly(options: argparse.Namespace) -> int:
    """Evaluate live prompts now, as the schedule does each week, and act on a regression."""
    _check_ready()
    features = [_feature(slug) for slug in dict.fromkeys(options.features)] or rows.live_features()
    if problems := [problem for feature in features if (problem := rows.why_not(feature))]:
        raise UsageError("\n".join(problems))
    if not features:
        raise UsageError("No feature with a suite is live. Activate a prompt first.")
    planned = rows.plan(features)
    try:
        return _worst([_followed(weekly) for weekly in planned])
    except KeyboardInterrupt:
        on = "The worker of the queue evals goes on with it, if beat runs."
        print(f"\nInterrupted. {on} Admin shows it under Regression runs.", file=sys.stderr)
        return UNFINISHED


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
            sleep(POLL_S)
    bar.end()
    print(f"{weekly.feature} {weekly.version}: {weekly.get_state_display()}. {weekly.note}")
    for mark in weekly.marks:
        print(f"  {mark['text']}")
    return WEEKLY_EXIT.get(weekly.state, UNFINISHED)


def _compare(options: argparse.Namespace) -> int:
    baseline, run = _found(options.baseline), _found(options.run)
    if baseline == run:
        raise UsageError("Both are the same run. `aa` evaluates a prompt against itself.")
    if problems := conclude.incomparable(run, baseline):
        print("\n".join(problems), file=sys.stderr)
        return UNFINISHED
    found = conclude.as_json(conclude.verdict(run, baseline=baseline))
    for line in report.summary(run, found, against=baseline.arms[plan.CANDIDATE]["version"]):
        print(line)
    return conclude.EXIT[Decision(found["decision"])]


def _report(options: argparse.Namespace) -> int:
    print(report.write(_found(options.run), to=options.output))
    return 0


def _rescore(options: argparse.Namespace) -> int:
    run = _found(options.run)
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
    return _print(run)


def _list(options: argparse.Namespace) -> int:
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


def _add(options: argparse.Namespace) -> int:
    print(adding.add(_feature(options.feature), options))
    return 0


def _record(options: argparse.Namespace) -> int:
    """Evaluate all prompts with the sandbox, and write their evidence into the repository."""
    _check_ready()

    def run(chosen: Sequence[recording.Chosen]) -> None:
        wanted = [
            plan.Wanted(feature, version, against, repeats.UNKNOWN, _cap_micro(options), suite)
            for feature, version, against in chosen
            for suite in [_suite(feature)]
        ]
        if _driven(_started(wanted, options), ended=_in_short) == UNFINISHED:
            raise UsageError("A run has no verdict, so nothing was recorded.")

    found = recording.record(run)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(recorded.text(found), encoding="utf-8")
    print(f"Recorded: {options.output}, {words.count(len(found.rows), 'version')}.")
    return 0


def _in_short(run: Run) -> int:
    """Print the decision on a run without its report, and return its exit code."""
    if run.state != Run.State.ENDED:
        return _ended(run)
    found: dict[str, Any] = run.verdict or {}
    print(next(iter(report.summary(run, found))))
    return conclude.EXIT[Decision(found["decision"])]


def _check_evidence(_options: argparse.Namespace) -> int:
    found = recording.check(recorded.read())
    for problem in found:
        print(problem, file=sys.stderr)
    return WRONG if found else 0


def _export(options: argparse.Namespace) -> int:
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


def _found(name: str) -> Run:
    found = list(Run.objects.filter(pk__startswith=name)) if _is_id(name) else []
    if len(found) != 1:
        many = "Several runs begin with" if found else "There is no run"
        raise UsageError(f"{many} {name!r}. `python -m evals list` shows the runs.")
    return found[0]


def _is_id(name: str) -> bool:
    return bool(name) and set(name) <= set("0123456789abcdef-")


def _feature(slug: str) -> Feature:
    try:
        feature = registry.get(slug)
    except registry.UnknownFeatureError:
        known = ", ".join(_with_suite())
        raise UsageError(f"There is no feature {slug!r}. With suites there are: {known}.") from None
    if feature.suite is None:
        raise UsageError(f"The feature {slug} has no suite: set `suite` in its feature.py.")
    return feature


def _usd(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount in dollars") from None
    if not found.is_finite() or not 0 < found <= 10_000:  # noqa: PLR2004 (a typing error, not a budget)
        raise argparse.ArgumentTypeError("it must be between 0 and 10,000 dollars")
    return found


def _number(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evals", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable[..., int], text: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=text, description=text)
        found.set_defaults(command=function)
        return found

    run = command("run", _run, "Evaluate prompts on their suites.")
    run.add_argument("features", nargs="*", metavar="FEATURE", help="Default: all with a suite.")
    run.add_argument("--against", help="Version to compare with. Default: the active one.")
    run.add_argument("--resume", metavar="RUN", help="Continue a run that has not ended.")
    _of_calls(run)

    gated = command("gate", _gate, "Evaluate the features of a change against its base.")
    gated.add_argument("features", nargs="*", metavar="FEATURE", help="Default: all with a suite.")
    gated.add_argument("--changed", action="store_true", help="Only the features that changed.")
    gated.add_argument("--base", metavar="REF", help="Default: where the branch left main.")
    gated.add_argument("--junit", type=Path, metavar="FILE", help="Write JUnit XML.")
    gated.add_argument("--summary", type=Path, metavar="FILE", help="Append a Markdown summary.")
    _of_size(gated)
    gated.set_defaults(suite=None, ask=False, no_reuse=False)

    same = command("aa", _aa, "Evaluate a prompt against itself: how often is the verdict wrong?")
    same.add_argument("feature", metavar="FEATURE")
    _of_calls(same)
    same.set_defaults(repeats=AA_REPEATS)

    weekly = command("weekly", _weekly, "Evaluate live prompts now, as the schedule does.")
    weekly.add_argument("features", nargs="*", metavar="FEATURE", help="Default: all live ones.")

    compare = command("compare", _compare, "Compare the candidates of two runs, without a call.")
    compare.add_argument("baseline", metavar="RUN")
    compare.add_argument("run", metavar="RUN")

    shown = command("report", _report, "Write the report of a run.")
    shown.add_argument("run", metavar="RUN")
    shown.add_argument("--output", type=Path)

    again = command("rescore", _rescore, "Score the stored outputs of a run again, without a call.")
    again.add_argument("run", metavar="RUN")

    listed = command("list", _list, "List runs, newest first.")
    listed.add_argument("feature", nargs="?", metavar="FEATURE")
    listed.add_argument("--most", type=_number, default=20, metavar="N")

    add = command("add", _add, "Add a case to a suite.")
    adding.options(add)

    record = command("record", _record, "Record the sandbox's evidence for the repository.")
    record.add_argument("--output", type=Path, default=recorded.FILE)
    record.set_defaults(ask=False, max_usd=None, no_reuse=False)

    command("check-evidence", _check_evidence, "Check the recorded evidence. Needs no database.")

    export = command("export", _export, "Write this provider's evidence to a file.")
    export.add_argument("file", type=Path, metavar="FILE")
    export.add_argument(
        "--follow", action="store_true", help="First activate the code's versions that passed."
    )
    return parser


def _of_calls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prompt", metavar="VERSION", help="Version to evaluate.")
    _of_size(parser)
    parser.add_argument("--suite", type=Path, help="Another file of cases.")
    parser.add_argument("--ask", action="store_true", help="Start only if a person agrees.")
    parser.add_argument(
        "--no-reuse", action="store_true", help="Call the baseline again, however new it is."
    )


def _of_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        *("--repeats", "-n"),
        type=int,
        choices=range(1, 11),
        metavar="N",
        help="Calls of each case. Default: as many as a drop of 15 points needs to be found.",
    )
    parser.add_argument(
        "--max-usd", type=_usd, help=f"Default: {CAP_USD}, or that of the resumed run."
    )
