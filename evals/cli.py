"""The command `python -m evals`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from aifeature import prompts, registry, suites
from aifeature.money import MICRO_PER_USD
from aifeature.services import controls
from aifeature.spec import Feature
from evals import report, suite_checks
from evals.harness import conclude, costs, plan
from evals.harness.drive import Driver, Progress, rescore
from evals.models import Run, Sample
from evals.statistics.verdict import Decision

POLL_S: Final = 0.3
WRONG: Final = 2
UNFINISHED: Final = 3
REPEATS: Final = 3
AA_REPEATS: Final = 5
CAP_USD: Final = Decimal(5)
WIDTH: Final = 30


class UsageError(Exception):
    """The command cannot be carried out. The text names the cause and the fix."""


def main(arguments: Sequence[str]) -> int:
    """Carry out a command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
    except (UsageError, plan.PlanError, suites.SuiteError) as error:
        print(error, file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("\nStopped. Jobs that were sent go on. `run --resume ID` continues.", file=sys.stderr)
        return UNFINISHED
    return code


def _run(options: argparse.Namespace) -> int:
    if options.resume:
        run = _found(options.resume)
        _reopen(run, options)
        return _driven(run)
    slugs = options.features or [slug for slug, f in registry.all_features().items() if f.suite]
    codes = []
    for slug in slugs:
        feature = _feature(slug)
        candidate = options.prompt or prompts.versions(slug)[-1]
        active = controls.prompt_version(feature)
        against = options.against or (active if active != candidate else None)
        codes.append(_started(feature, candidate, against, options))
    return max(codes, default=0)


def _aa(options: argparse.Namespace) -> int:
    feature = _feature(options.feature)
    version = options.prompt or controls.prompt_version(feature)
    return _started(feature, version, version, options)


def _started(
    feature: Feature, candidate: str, baseline: str | None, options: argparse.Namespace
) -> int:
    suite = suites.load(feature, path=options.suite)
    if problems := suite_checks.problems(feature, suite):
        raise UsageError("\n".join(problems))
    wanted = plan.Wanted(
        feature=feature,
        candidate=candidate,
        baseline=baseline,
        repeats=options.repeats,
        cap_micro=int(options.max_usd * MICRO_PER_USD),
        suite=suite,
    )
    run = plan.start(wanted, reuse=not options.no_reuse)
    against = f" against {baseline}" if baseline else ""
    print(
        f"{feature.slug} {candidate}{against}: {len(suite.cases)} cases, {run.repeats} repeats,"
        f" {run.samples.filter(state=Sample.State.PENDING).count()} calls to make,"
        f" about {costs.dollars(run.estimate_micro)}"
        f" (at most {costs.dollars(run.cap_micro)}). Run {run.pk}"
    )
    return _driven(run)


def _reopen(run: Run, options: argparse.Namespace) -> None:
    """Continue a run: unscored samples are tried again, under new keys."""
    if run.state == Run.State.ENDED:
        raise UsageError(f"The run {run.pk} has ended. `report {run.pk}` shows it.")
    run.state, run.note = Run.State.RUNNING, ""
    run.cap_micro = max(run.cap_micro, int(options.max_usd * MICRO_PER_USD))
    run.save(update_fields=["state", "note", "cap_micro"])


def _driven(run: Run, *, sleep: Callable[[float], None] = time.sleep) -> int:
    """Drive a run to its end and print its verdict."""
    driver, bar = Driver(run), _Bar(run)
    while True:
        progress = driver.step()
        bar.show(progress)
        run.refresh_from_db(fields=["state", "note"])
        if progress.is_complete and not driver.add_fresh(_without_fresh(run)):
            break
        if run.state == Run.State.STOPPED:
            bar.end()
            print(f"The run {run.pk} has stopped: {run.note}", file=sys.stderr)
            return UNFINISHED
        sleep(POLL_S)
    bar.end()
    found = conclude.conclude(run)
    file = report.write(run)
    _print(run, found, file)
    return conclude.EXIT[Decision(found["decision"])]


def _without_fresh(run: Run) -> list[str]:
    """Return the doubtful cases that have no fresh repeats yet."""
    known = set(run.samples.filter(arm=plan.FRESH).values_list("case", flat=True))
    return [case for case in conclude.doubtful(run) if case not in known]


def _print(run: Run, found: dict[str, Any], file: Path) -> None:
    for line in report.summary(run, found):
        print(line)
    print(f"Report: {file}")
    print(f"Pass rate: {found['candidate']['rate']:.1%}" if found["candidate"] else "No pass rate.")


def _compare(options: argparse.Namespace) -> int:
    baseline, run = _found(options.baseline), _found(options.run)
    if problems := conclude.incomparable(run, baseline):
        print("\n".join(problems), file=sys.stderr)
        return UNFINISHED
    found = conclude.as_json(conclude.verdict(run, baseline=baseline))
    for line in report.summary(run, found):
        print(line)
    return conclude.EXIT[Decision(found["decision"])]


def _report(options: argparse.Namespace) -> int:
    print(report.write(_found(options.run), to=options.output))
    return 0


def _rescore(options: argparse.Namespace) -> int:
    run = _found(options.run)
    rescore(run)
    run.scorer_hash = plan.scorer_hash()
    run.save(update_fields=["scorer_hash"])
    found = conclude.conclude(run)
    _print(run, found, report.write(run))
    return conclude.EXIT[Decision(found["decision"])]


def _list(options: argparse.Namespace) -> int:
    runs = Run.objects.order_by("-created_at")
    if options.feature:
        runs = runs.filter(feature=options.feature)
    for run in runs[: options.most]:
        decision = run.verdict["decision"] if run.verdict else run.state
        versions = " against ".join(arm["version"] for arm in run.arms.values())
        when = f"{run.created_at:%Y-%m-%d %H:%M}"
        print(f"{run.pk}  {when}  {run.feature:<12} {versions:<16} {decision}")
    return 0


def _add(options: argparse.Namespace) -> int:
    """Append a case to a suite, if the suite is valid with it."""
    feature = _feature(options.feature)
    file = suites.file(feature.slug)
    row = {
        "id": options.id,
        "input": _json(options.input, "--input"),
        "expected": _json(options.expected, "--expected"),
        "tags": options.tag,
        "note": options.note,
    }
    before = file.read_text(encoding="utf-8")
    line = json.dumps(row, ensure_ascii=False)
    text = f"{before.rstrip(chr(10))}\n{line}\n" if before.strip() else f"{line}\n"
    draft = file.with_name(f".{file.name}.draft{file.suffix}")
    draft.write_text(text, encoding="utf-8")
    try:
        suite = suites.load(feature, path=draft)
        if problems := suite_checks.problems(feature, suite):
            raise UsageError("\n".join(problems))
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    print(f"{file}: {len(suite.cases)} cases")
    return 0


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"{option} is not JSON: {error}") from None


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
        known = ", ".join(s for s, f in registry.all_features().items() if f.suite)
        raise UsageError(f"There is no feature {slug!r}. With suites there are: {known}.") from None
    if feature.suite is None:
        raise UsageError(f"The feature {slug} has no suite: set `suite` in its feature.py.")
    return feature


def _usd(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount in dollars") from None
    if not 0 < found <= 10_000:  # noqa: PLR2004 (a typing error, not a budget)
        raise argparse.ArgumentTypeError("it must be between 0 and 10,000 dollars")
    return found


class _Bar:
    """A progress bar on standard error; lines without a terminal."""

    def __init__(self, run: Run) -> None:
        self._name = run.feature
        self._began = time.monotonic()
        self._shown = -1

    def show(self, progress: Progress) -> None:
        done = progress.scored + progress.unscored
        if not sys.stderr.isatty():
            tenth = 10 * done // max(1, progress.total)
            if tenth == self._shown:
                return
            self._shown = tenth
        filled = WIDTH * done // max(1, progress.total)
        took = time.monotonic() - self._began
        left = f", {took / done * (progress.total - done):.0f} s left" if done else ""
        odd = f", {progress.unscored} unscored" if progress.unscored else ""
        line = (
            f"{self._name} [{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{progress.total}{odd},"
            f" {costs.dollars(progress.spent_micro)}{left}"
        )
        end = "" if sys.stderr.isatty() else "\n"
        start = "\r\x1b[K" if sys.stderr.isatty() else ""
        print(f"{start}{line}", end=end, file=sys.stderr, flush=True)

    def end(self) -> None:
        if sys.stderr.isatty():
            print(file=sys.stderr)


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
    _calls(run, repeats=REPEATS)

    same = command("aa", _aa, "Evaluate a prompt against itself: how often is the verdict wrong?")
    same.add_argument("feature", metavar="FEATURE")
    _calls(same, repeats=AA_REPEATS)

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
    listed.add_argument("--most", type=int, default=20)

    add = command("add", _add, "Add a case to a suite.")
    add.add_argument("feature", metavar="FEATURE")
    add.add_argument("--id", required=True)
    add.add_argument("--input", required=True, help="JSON.")
    add.add_argument("--expected", required=True, help="JSON.")
    add.add_argument("--tag", action="append", default=[])
    add.add_argument("--note", default="")
    return parser


def _calls(parser: argparse.ArgumentParser, *, repeats: int) -> None:
    parser.add_argument("--prompt", metavar="VERSION", help="Version to evaluate.")
    parser.add_argument("--repeats", type=int, default=repeats, choices=range(1, 11), metavar="N")
    parser.add_argument("--max-usd", type=_usd, default=CAP_USD, help=f"Default: {CAP_USD}.")
    parser.add_argument("--suite", type=Path, help="Another file of cases.")
    parser.add_argument(
        "--no-reuse", action="store_true", help="Call the baseline again, however new it is."
    )
