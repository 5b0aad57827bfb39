"""The command `python -m evals`."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from aifeature import prompts, suites
from evals import recorded, resuming
from evals.commands import adding, codes, evidence, looking, running, starting, weekly
from evals.harness import plan
from evals.usage import UsageError

AA_REPEATS: Final = 5


def main(arguments: Sequence[str]) -> int:
    """Carry out a command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
    except (UsageError, plan.PlanError, prompts.PromptError, suites.SuiteError) as error:
        print(error, file=sys.stderr)
        return codes.WRONG
    except KeyboardInterrupt:
        print(f"\nInterrupted. {resuming.sentence()}", file=sys.stderr)
        return codes.UNFINISHED
    except Exception:  # noqa: BLE001 (1 would be a regression, and there is no verdict)
        traceback.print_exc()
        print(f"There is no verdict. {resuming.sentence()}", file=sys.stderr)
        return codes.UNFINISHED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evals", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable[..., int], text: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=text, description=text)
        found.set_defaults(command=function)
        return found

    run = command("run", running.run, "Evaluate prompts on their suites.")
    run.add_argument("features", nargs="*", metavar="FEATURE", help="Default: all with a suite.")
    run.add_argument(
        "--against",
        help="Version to compare with. Default: the one live for users, or the active one.",
    )
    run.add_argument("--resume", metavar="RUN", help="Continue a run that has not ended.")
    _of_calls(run)

    gated = command("gate", running.run_gate, "Evaluate the features of a change against its base.")
    gated.add_argument("features", nargs="*", metavar="FEATURE", help="Default: all with a suite.")
    gated.add_argument("--changed", action="store_true", help="Only the features that changed.")
    gated.add_argument("--base", metavar="REF", help="Default: where the branch left main.")
    gated.add_argument("--junit", type=Path, metavar="FILE", help="Write JUnit XML.")
    gated.add_argument("--summary", type=Path, metavar="FILE", help="Append a Markdown summary.")
    _of_size(gated)
    gated.set_defaults(suite=None, ask=False, no_reuse=False)

    same = command(
        "aa",
        running.run_against_itself,
        "Evaluate a prompt against itself: how often is the verdict wrong?",
    )
    same.add_argument("feature", metavar="FEATURE")
    _of_calls(same)
    same.set_defaults(repeats=AA_REPEATS)

    live = command("weekly", weekly.run_weekly, "Evaluate live prompts now, as the schedule does.")
    live.add_argument("features", nargs="*", metavar="FEATURE", help="Default: all live ones.")

    compare = command(
        "compare", looking.compare, "Compare the candidates of two runs, without a call."
    )
    compare.add_argument("baseline", metavar="RUN")
    compare.add_argument("run", metavar="RUN")

    shown = command("report", looking.write_report, "Write the report of a run.")
    shown.add_argument("run", metavar="RUN")
    shown.add_argument("--output", type=Path)

    again = command(
        "rescore", looking.rescore, "Score the stored outputs of a run again, without a call."
    )
    again.add_argument("run", metavar="RUN")

    listed = command("list", looking.list_runs, "List runs, newest first.")
    listed.add_argument("feature", nargs="?", metavar="FEATURE")
    listed.add_argument("--most", type=_number, default=20, metavar="N")

    add = command("add", adding.add, "Add a case to a suite.")
    adding.options(add)

    record = command("record", evidence.record, "Record the sandbox's evidence for the repository.")
    record.add_argument("--output", type=Path, default=recorded.FILE)
    record.set_defaults(ask=False, max_usd=None, no_reuse=False)

    command("check-evidence", evidence.check, "Check the recorded evidence. Needs no database.")

    export = command("export", evidence.export, "Write this provider's evidence to a file.")
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
        "--max-usd", type=_usd, help=f"Default: {starting.CAP_USD}, or that of the resumed run."
    )


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
