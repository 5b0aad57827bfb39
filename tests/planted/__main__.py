"""Evaluate each planted change with the harness, and compare the verdict with what is known.

A copy of the product gets the changed prompts as further versions, and a system of its own runs it:
`make planted`, or `make planted ONLY=answer`. The sandbox needs about two minutes for a feature.
The exit code is 1 if a verdict is wrong.

A section that is removed from the handbook is caught before any call: the suite has cases that
expect it, and its check names them and the section.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from evals.local import System, system
from project.stack.children import PYTHON
from tests.planted.changes import Change, all_changes
from tests.releases import next_release

REPEATS: Final = "3"
CAP_USD: Final = "50"
SUITE_IS_WRONG: Final = 2
_NOTE: Final = re.compile(r"^note = .*$", re.MULTILINE)
_RUN: Final = re.compile(r"^.* Run (\S+)$", re.MULTILINE)
_VERDICTS: Final = {0: "pass", 1: "regression", 3: "no verdict"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's verdict on one change."""

    change: Change
    exit_code: int
    output: str

    @property
    def is_right(self) -> bool:
        if self.change.section and self.exit_code == SUITE_IS_WRONG:
            return f"the feature has no section '{self.change.section}'" in self.output
        return self.exit_code == (1 if self.change.is_worse else 0)

    def line(self) -> str:
        words = _VERDICTS.get(self.exit_code, f"exit code {self.exit_code}")
        difference = re.search(r"^Difference: .*$", self.output, re.MULTILINE)
        mark = " " if self.is_right else "!"
        shown = difference[0] if difference else self.output[-300:]
        return f"{mark} {self.change.feature:<10} {self.change.name:<24} {words:<10} {shown}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    parser.add_argument("--only", default="", help="Features, separated by commas.")
    only = {slug for slug in parser.parse_args(arguments).only.split(",") if slug}
    changes = [change for change in all_changes() if not only or change.feature in only]
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        copy = next_release(Path(folder) / "copy").folder
        versions = _plant(copy, changes)
        with system(checkout=copy) as local:
            for verdict in _verdicts(copy, local, versions):
                wrong += not verdict.is_right
                _print(verdict.line())
    _print(f"{len(changes) - wrong} of {len(changes)} verdicts are right")
    return 1 if wrong else 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _plant(copy: Path, changes: Sequence[Change]) -> dict[Change, tuple[str, str]]:
    """Write the changed prompts. Return the version of each, and the version before the change."""
    found: dict[Change, tuple[str, str]] = {}
    for slug in dict.fromkeys(change.feature for change in changes):
        folder = copy / "aifeature" / "features" / slug
        latest = max(int(file.stem[1:]) for file in folder.glob("v*.md"))
        text = (folder / f"v{latest}.md").read_text()
        number = latest
        for change in (change for change in changes if change.feature == slug):
            if not change.file:
                number += 1
                worse = _NOTE.sub(f'note = "{change.name}"', change.applied(text))
                (folder / f"v{number}.md").write_text(worse)
            found[change] = (f"v{latest if change.file else number}", f"v{latest}")
    return found


def _verdicts(
    copy: Path, local: System, versions: dict[Change, tuple[str, str]]
) -> Iterator[Verdict]:
    for change, (version, latest) in versions.items():
        if not change.file:
            yield Verdict(change, *_evals(copy, local, "run", change.feature, version, latest))
    for change, (_, latest) in versions.items():
        if change.file:
            yield _of_file(copy, local, change, latest)


def _of_file(copy: Path, local: System, change: Change, version: str) -> Verdict:
    """Compare the prompt before and after a change of a file, which all versions share."""
    before = _evals(copy, local, "run", change.feature, version)
    file = copy / "aifeature" / "features" / change.feature / change.file
    text = file.read_text()
    file.write_text(change.applied(text))
    local.restart("worker-evals")
    after = _evals(copy, local, "run", change.feature, version)
    file.write_text(text)
    local.restart("worker-evals")
    if after[0] == SUITE_IS_WRONG:
        return Verdict(change, *after)
    runs = [match[1] for _, output in (before, after) if (match := _RUN.search(output))]
    return Verdict(change, *_command(copy, local, "compare", *runs))


def _evals(
    copy: Path, local: System, command: str, slug: str, version: str, against: str = ""
) -> tuple[int, str]:
    compared = ("--against", against) if against else ()
    options = ("--repeats", REPEATS, "--max-usd", CAP_USD)
    return _command(copy, local, command, slug, "--prompt", version, *compared, *options)


def _command(copy: Path, local: System, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [PYTHON, "-m", "evals", *arguments],
        env=local.env,
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
