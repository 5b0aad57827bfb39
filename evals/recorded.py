"""Recorded evidence of the sandbox: `evals/evidence/sandbox.json`, for the prompts of this code.

It has no age, and is bound to the code of the sandbox by its hash. `make evidence` writes it, and
the local stack loads it. Nothing here needs the extra `evals`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from aifeature import prompts, registry, suites
from aifeature.services.promotion import Subject, evidence, subjects
from aifeature.spec import Feature
from evals.usage import UsageError

PROVIDER: Final = "sandbox"
CHECKOUT: Final = suites.FOLDER.parent.parent
FILE: Final = CHECKOUT / "evals" / "evidence" / "sandbox.json"
SANDBOX: Final = CHECKOUT / "workers" / "sandbox"
AGAIN: Final = "Run `make evidence`, and commit evals/evidence/sandbox.json."

_BROKEN_UP: Final = 5
"""Levels of lists and objects with a line for each value. Deeper ones, such as a case, are one."""


class RecordedError(UsageError):
    """A file of evidence cannot be used. The text names the cause and the fix."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The content of a file of evidence."""

    rows: list[dict[str, Any]]
    """As `evidence.dump` returns them, oldest first."""
    sandbox: str | None = None
    """Hash of the sandbox that answered; None in a file for another provider."""

    @property
    def problem(self) -> str:
        """Why nothing of it counts now; empty if it may."""
        if self.sandbox in (None, sandbox_hash()):
            return ""
        return f"The code of the sandbox has changed since this evidence was recorded. {AGAIN}"


def sandbox_hash(folder: Path = SANDBOX) -> str:
    """Return the hash of the sandbox's code, the same for each version of Python."""
    found = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        found.update(f"{file.name}\0".encode() + file.read_bytes() + b"\0")
    return found.hexdigest()


def read(file: Path = FILE) -> Recorded:
    """Return the content of a file that `text` made. Raises RecordedError."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordedError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise RecordedError(f"{file} is no JSON: {error}.") from None
    match content:
        case {"evidence": [*rows], "sandbox": str(hash_)} if _are_objects(rows):
            return Recorded(rows, hash_)
        case {"evidence": [*rows], **others} if _are_objects(rows) and not others:
            return Recorded(rows)
    raise RecordedError(f"{file} is no file of evidence: `python -m evals export` writes one.")


def _are_objects(rows: list[Any]) -> bool:
    return all(isinstance(row, dict) for row in rows)


def text(found: Recorded) -> str:
    """Return the content of a file, with a line for each case."""
    content: dict[str, Any] = {"evidence": found.rows}
    if found.sandbox is not None:
        content["sandbox"] = found.sandbox
    return f"{_lines(content, 0)}\n"


def _lines(value: Any, level: int) -> str:
    if level >= _BROKEN_UP or not value or not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(name, ensure_ascii=False)}: {_lines(each, level + 1)}"
            for name, each in sorted(value.items())
        ]
    else:
        parts = [_lines(each, level + 1) for each in value]
    indent = " " * (level + 1)
    inner = f",\n{indent}".join(parts)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{indent}{inner}\n{' ' * level}{closing}"


def subject_of(feature: Feature, version: str) -> Subject:
    """Return the subject of an evaluation with the sandbox now. Raises as `subjects.of` does."""
    found = subjects.of(feature, version)
    return replace(found, conditions=replace(found.conditions, provider=PROVIDER))


def problems(found: Recorded) -> list[str]:
    """Return what is wrong with recorded evidence, a sentence each.

    Each feature with a suite and a released prompt needs evidence of its code's version, also an
    internal one.
    """
    if found.sandbox is None:
        return [f"The recorded evidence does not have the hash of its sandbox. {AGAIN}"]
    if found.problem:
        return [found.problem]
    edited = [f"{name(row)}: {why} {AGAIN}" for row in found.rows if (why := _edited(row))]
    return edited or [
        problem
        for feature in registry.all_features().values()
        if feature.suite is not None and prompts.released(feature.slug)
        for problem in _missing(feature, found.rows)
    ]


def name(row: Mapping[str, Any]) -> str:
    """Return what a person calls a row of evidence."""
    return f"Recorded evidence of {row.get('feature')} {row.get('version')}"


def _edited(row: Mapping[str, Any]) -> str:
    if problem := evidence.contradiction(row):
        return problem
    if (row["provider"], row["fresh_until"], row["account"]) != (PROVIDER, None, ""):
        return "It is not of the sandbox, or it has an age or an account."
    return ""


def _missing(feature: Feature, rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    version = feature.prompt_version
    try:
        subject = subject_of(feature, version)
    except (prompts.PromptError, suites.SuiteError) as error:
        yield f"{feature.slug} {version} can have no evidence: {error}"
        return
    own = [row for row in rows if row["feature"] == feature.slug]
    same = [row for row in own if row["fingerprint"] == subject.fingerprint]
    if any(row["passed"] for row in same[-1:]):
        return
    if same:
        why = f"did not pass: {' '.join(same[-1]['verdict'].get('reasons', []))}"
        yield f"{feature.slug} {version} {why} Change it, then run `make evidence`."
    else:
        yield f"{feature.slug} {version} has no recorded evidence{_why(subject, own)}. {AGAIN}"


def _why(subject: Subject, own: list[Mapping[str, Any]]) -> str:
    """Return what changed since the newest evidence of a feature."""
    if not own:
        return ""
    of_prompt = [row for row in own if row["prompt_hash"] == subject.prompt_hash]
    conditions = (of_prompt or own)[-1]["conditions"]
    changed = [] if of_prompt else ["prompt"]
    changed += [
        part for part, value in asdict(subject.conditions).items() if conditions.get(part) != value
    ]
    return f": another {' and another '.join(changed)} than when it was recorded"
