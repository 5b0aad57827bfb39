"""The command `add`: a new case of a suite."""

from __future__ import annotations

import argparse
import json
from typing import Any

from aifeature import suites
from aifeature.spec import Feature
from evals import suite_checks
from evals.commands import named
from evals.usage import UsageError


def add(options: argparse.Namespace) -> int:
    """Add a case to the suite of a feature."""
    print(_added(named.feature(options.feature), options))
    return 0


def _added(feature: Feature, options: argparse.Namespace) -> str:
    """Append a case to the suite of a feature, if the suite is valid with it.

    Return a sentence on the suite. `options` are those of the command `add`.

    Raises:
        UsageError: The case or the suite is wrong. Then no file has changed.
    """
    file = suites.file(feature.slug)
    if file.suffix != ".jsonl":
        raise UsageError(f"{file} is a list of inputs and keywords: add the case to it by hand.")
    row = {
        "id": options.id,
        "input": _json(options.input, "--input"),
        "expected": _json(options.expected, "--expected"),
        "tags": options.tag,
        **({"group": options.group} if options.group else {}),
        **({"must": True} if options.must else {}),
        **({"held_out": True} if options.held_out else {}),
        "note": options.note,
    }
    try:
        line = json.dumps(row, ensure_ascii=False).encode()
        before = file.read_bytes().rstrip(b"\n")
    except UnicodeEncodeError:
        problem = "The case cannot be saved as UTF-8: it has half a character, a lone surrogate."
        raise UsageError(problem) from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from None
    draft = file.with_name(f".{file.name}.draft{file.suffix}")
    try:
        draft.write_bytes(b"\n".join([*([before] if before.strip() else []), line, b""]))
        suite = suites.load(feature, path=draft)
        if problems := suite_checks.problems(feature, suite):
            raise UsageError("\n".join(problems))
        draft.replace(file)
    except suites.SuiteError as error:
        raise UsageError(str(error).replace(draft.name, file.name)) from None
    finally:
        draft.unlink(missing_ok=True)
    return f"{file}: {len(suite.cases)} cases"


def _json(text: str, option: str) -> Any:
    try:
        return suites.parsed(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option} is no JSON of a case: {error}") from None


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a case."""
    parser.add_argument("feature", metavar="FEATURE")
    parser.add_argument("--id", required=True)
    parser.add_argument("--input", required=True, help="JSON.")
    parser.add_argument("--expected", required=True, help="JSON.")
    parser.add_argument("--tag", action="append", default=[])
    parser.add_argument("--group", default="", metavar="NAME", help="That of the same document.")
    parser.add_argument("--must", action="store_true", help="It may never break.")
    parser.add_argument("--held-out", action="store_true", help="Reports do not show its content.")
    parser.add_argument("--note", default="")
