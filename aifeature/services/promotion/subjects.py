"""The parts of a verdict: the prompt, and the conditions of its evaluation."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from aifeature import prompts, registry, suites
from aifeature.services.controls import live
from aifeature.spec import Feature, Moderation

JUDGE: Final = "judge"
MODERATION: Final = "moderation"
SCORING: Final = suites.FOLDER.parent / "scoring"


@dataclass(frozen=True, slots=True)
class Conditions:
    """All that an evaluation depends on, besides the prompt."""

    provider: str
    suite: str
    """Hash of its cases and criteria."""
    scorers: str
    """Hash of their code, and of the feature's settings for them."""
    judge: Mapping[str, Any] | None
    """Version, hash and models of the judge; None without one."""
    guards: str = ""
    """Hash of the guards' policies, and of the prompt of the moderation that they need."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A prompt under conditions. Two runs of one subject measure the same."""

    feature: str
    version: str
    prompt_hash: str
    conditions: Conditions

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of everything but the version's name."""
        conditions = asdict(self.conditions)
        if not conditions["guards"]:  # as it was hashed before there were guards
            del conditions["guards"]
        parts = [self.feature, self.prompt_hash, conditions]
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def conditions(feature: Feature) -> Conditions:
    """Return the conditions of an evaluation that would start now.

    Raises SuiteError if the feature's suite cannot be read.
    """
    suite = suites.load(feature)
    has_judge = bool(suite.about.criteria)
    return Conditions(
        live.provider(),
        suite.hash,
        scorer_hash(feature),
        judge() if has_judge else None,
        guard_hash(feature),
    )


def as_json(found: Conditions) -> dict[str, Any]:
    return asdict(found)


def of(feature: Feature, version: str) -> Subject:
    """Return the subject of an evaluation of this version that would start now.

    Raises:
        PromptError: there is no such version.
        SuiteError: the feature's suite cannot be read.
    """
    prompt = prompts.get(feature.slug, version)
    return Subject(feature.slug, version, prompt.hash, conditions(feature))


def judge() -> dict[str, Any]:
    """Return the version, the hash and the models of the judge."""
    feature = registry.get(JUDGE)
    prompt = prompts.get(JUDGE, feature.prompt_version)
    return {
        "version": prompt.version,
        "hash": prompt.hash,
        "models": [model for route in prompts.routes(feature, prompt) for model in route.models],
    }


def guard_hash(feature: Feature) -> str:
    """Return the SHA-256 of the guards' policies, and of the moderation that they need.

    The code of the guards is left out: a better pattern would undo all evidence.
    """
    policies = feature.guards.model_dump(mode="json")
    moderator = ""
    if feature.guards.moderation is not Moderation.NEVER:
        found = registry.get(MODERATION)
        moderator = prompts.get(MODERATION, found.prompt_version).hash
    text = json.dumps([policies, moderator], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def scorer_hash(feature: Feature) -> str:
    """Return the SHA-256 of the scorers: their code, and the settings of the feature for them.

    The check of the feature is one of them, since it decides which first answers are valid. Each
    function counts with the code of its folder, where its helpers are. Runs of different scorers
    do not compare.
    """
    suite = feature.suite
    found = hashlib.sha256(_hash_of(SCORING).encode())
    functions: dict[str, Callable[..., Any] | None] = {"": feature.check}
    if suite is not None:
        found.update(repr((suite.text, suite.least_score, feature.citation_field)).encode())
        functions |= suite.functions
    for name, function in sorted(functions.items()):
        if function is not None:
            found.update(f"{name}\0{_hash_of_function(function)}\0".encode())
    return found.hexdigest()


def _hash_of_function(function: Callable[..., Any]) -> str:
    while isinstance(function, partial):
        function = function.func
    named = function if inspect.isroutine(function) else type(function)
    folder = Path(inspect.getfile(named)).resolve().parent
    return f"{named.__qualname__}\0{_hash_of(folder)}"


@cache
def _hash_of(folder: Path) -> str:
    """Return the hash of the code of a folder, the same for each version of Python.

    The declaration of a feature is left out: runs with another route compare.
    """
    found = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        text = file.read_text(encoding="utf-8")
        lines = text.splitlines()
        for each in ast.parse(text).body:
            if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "FEATURE":
                lines[each.lineno - 1 : each.end_lineno] = []
                break
        found.update("\0".join((file.name, *lines)).encode())
    return found.hexdigest()
