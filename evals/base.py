"""The base of a change: the recorded evidence and the files of a commit in git."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from aifeature.services.promotion import Conditions
from evals.harness import pools
from evals.harness.pools import Part, Pool
from evals.usage import UsageError

CHECKOUT: Final = Path(__file__).resolve().parents[1]
FILE: Final = "evals/evidence/sandbox.json"
"""The evidence that the repository carries: `{"sandbox": hash, "evidence": [row, ...]}`."""

SANDBOX: Final = "workers/sandbox"
MAIN: Final = ("origin/main", "main")
TIMEOUT_S: Final = 30
ALL: Final = "Every feature counts as changed."


@dataclass(frozen=True, slots=True)
class Recorded:
    """A passing row of the evidence file."""

    feature: str
    version: str
    prompt_hash: str
    conditions: Conditions
    measured_at: datetime
    runs: tuple[str, ...]
    """Ids of the runs whose outcomes its verdict counts."""
    part: Part
    """The outcomes of the newest of them."""


@dataclass(frozen=True, slots=True)
class Base:
    """The content of a commit. Without recorded evidence, `problem` is the reason as a sentence."""

    name: str
    rows: tuple[Recorded, ...] = ()
    problem: str = ""
    has_this_sandbox: bool = True
    """Whether the sandbox is that of the checkout, so that outcomes of both compare."""
    text: Callable[[str], str | None] = lambda _: None
    """Returns the text of a file by its path in the repository; None if there is no such file."""

    def of(self, feature: str) -> list[Recorded]:
        """Return the passing rows of a feature, newest first."""
        own = [row for row in reversed(self.rows) if row.feature == feature]
        return sorted(own, key=lambda row: row.measured_at, reverse=True)

    def pool(self, row: Recorded) -> Pool:
        """Return the recorded outcomes of which a row is the verdict."""
        parts: dict[str, Part] = {}
        for each in self.of(row.feature):
            is_same = (each.prompt_hash, each.conditions) == (row.prompt_hash, row.conditions)
            if is_same and each.part.run in row.runs:
                parts.setdefault(each.part.run, each.part)
        return Pool(tuple(sorted(parts.values(), key=lambda part: (part.at, part.run))))


def read(ref: str | None, *, checkout: Path = CHECKOUT) -> Base:
    """Return what a commit has.

    Args:
        ref: Default: the commit at which this branch left `origin/main`, or `main`.
        checkout: The folder of the repository.

    Raises:
        UsageError: There is no such commit.
    """
    commit = _commit(ref, checkout) if ref else _merge_base(checkout)
    if commit is None:
        reason = f"git finds no commit that this branch shares with {' or '.join(MAIN)}."
        return Base("nothing", problem=f"{reason} {ALL}")
    name = commit[:12]

    def text(path: str) -> str | None:
        return _git(checkout, "show", f"{commit}:{path}")

    found = text(FILE)
    if found is None:
        return Base(name, problem=f"The commit {name} has no file {FILE}. {ALL}", text=text)
    try:
        rows = tuple(_rows(json.loads(found)["evidence"]))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        what = f"{FILE} of the commit {name} cannot be read ({type(error).__name__})."
        return Base(name, problem=f"{what} {ALL}", text=text)
    same = _git(checkout, "diff", "--quiet", commit, "--", SANDBOX) is not None
    return Base(name, rows, has_this_sandbox=same, text=text)


def _rows(values: Iterable[Mapping[str, Any]]) -> Iterator[Recorded]:
    for row in values:
        if row["passed"]:
            of = row["conditions"]
            yield Recorded(
                feature=row["feature"],
                version=row["version"],
                prompt_hash=row["prompt_hash"],
                conditions=Conditions(
                    of["provider"], of["suite"], of["scorers"], of["judge"], of.get("guards", "")
                ),
                measured_at=datetime.fromisoformat(row["measured_at"]),
                runs=tuple(row["runs"]),
                part=pools.from_json(row["outcomes"]),
            )


def _commit(ref: str, checkout: Path) -> str:
    wanted = f"{ref}^{{commit}}"
    done = _run(checkout, "rev-parse", "--verify", "--end-of-options", wanted)
    if done is None or done.returncode:
        reason = done.stderr.decode(errors="replace").strip() if done else "There is no git."
        raise UsageError(
            f"There is no commit {ref!r} to compare with. Correct --base; in CI, check out the"
            f" whole history. {reason}"
        )
    return done.stdout.decode().strip()


def _merge_base(checkout: Path) -> str | None:
    found = (_git(checkout, "merge-base", "HEAD", name) for name in MAIN)
    return next((commit.strip() for commit in found if commit), None)


def _git(checkout: Path, *arguments: str) -> str | None:
    """Return what git prints; None if it fails, or if there is no git."""
    done = _run(checkout, *arguments)
    return None if done is None or done.returncode else done.stdout.decode(errors="replace")


def _run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[bytes] | None:
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=checkout,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
