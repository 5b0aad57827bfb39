"""System checks of a feature's folder: the files that it needs, its functions, its suite."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Doubt
from pydantic import ValidationError

from aifeature import features, registry, suites
from aifeature.spec import Feature, Source

PLACE: Final = "aifeature/features"

NO_KNOWLEDGE: Final = "aifeature.E009"

MOST_LINES: Final = 5
"""Most lines of a suite that are reported."""

ARGUMENTS: Final = {
    "check": ("input", "output"),
    "approval": ("input", "output"),
    "follow_up": ("input", "output"),
    "plain": ("input",),
    "sources": (),
}
"""The functions of a feature and their arguments."""


def incomplete() -> Iterator[CheckMessage]:
    """Yield the folders that lack a file of Python. Without `__init__.py` Python ignores one."""
    for folder in _folders():
        if missing := _missing(folder):
            yield Error(
                f"Feature {folder.name} has no {' and no '.join(missing)}.",
                hint=f"Add it in {PLACE}/{folder.name}/, or remove the folder. `manage.py"
                " startfeature NAME` writes a whole feature.",
                id="aifeature.E007",
            )


def unloadable() -> Iterator[CheckMessage]:
    """Yield the reason for each folder whose feature cannot be loaded."""
    yield from incomplete()
    for folder in _folders():
        name, where = folder.name, f"{PLACE}/{folder.name}"
        if _missing(folder):
            continue
        try:
            feature = registry.load(name)
        except Exception as error:  # noqa: BLE001 (the code of a feature may raise anything)
            yield Error(
                f"Feature {name} cannot be loaded: {in_words(error)}{_line(error, folder)}",
                hint=f"Fix it in {where}/. Meanwhile `manage.py kill_switch` works.",
                id="aifeature.E001",
            )
            continue
        if feature.slug != name:
            is_taken = (folder.parent / feature.slug).is_dir()
            owner = f", which belongs to {PLACE}/{feature.slug}" if is_taken else ""
            yield Error(
                f"The feature in {where} has the slug {feature.slug!r}{owner}.",
                hint=f'Write slug="{name}" in {where}/feature.py, or rename the folder.',
                id="aifeature.E008",
            )


def _folders() -> list[Path]:
    """Return the folders with files of features. `__pycache__` may be left of a removed one."""
    found = Path(features.__path__[0]).iterdir()
    visible = [each for each in found if each.is_dir() and not each.name.startswith((".", "__"))]
    return sorted(each for each in visible if any(each.glob("*.py")) or any(each.glob("*.md")))


def _missing(folder: Path) -> list[str]:
    return [name for name in ("__init__.py", "feature.py") if not (folder / name).exists()]


def _line(error: Exception, folder: Path) -> str:
    """Return the place in the folder where an error was raised; empty if it was elsewhere."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == folder / "feature.py"
    ]
    return f" (feature.py, line {lines[-1]})" if lines else ""


def problems_of(feature: Feature) -> Iterator[CheckMessage]:
    """Yield the problems of a loaded feature's files and functions. Prompts have their own."""
    where = f"{PLACE}/{feature.slug}"
    is_complete = True
    for name in feature.knowledge:
        if not (Path(features.__path__[0]) / feature.slug / f"{name}.md").exists():
            is_complete = False
            yield Error(
                f"Feature {feature.slug} has the knowledge {name!r} and no file {name}.md.",
                hint=f"Add {where}/{name}.md, or remove {name!r} from `knowledge` in"
                f" {where}/feature.py.",
                id=NO_KNOWLEDGE,
            )
    for name, arguments in ARGUMENTS.items():
        if problem := _unfit(getattr(feature, name), len(arguments)):
            yield Error(
                f"{name} of feature {feature.slug} {problem}.",
                hint=f"Give it a function, `def {name}({', '.join(arguments)})`, in"
                f" {where}/feature.py.",
                id="aifeature.E010",
            )
        elif name == "sources" and is_complete and (problem := _problem_of_sources(feature)):
            yield Error(
                f"sources of feature {feature.slug} {problem}.",
                hint=f"Fix it in {where}/: the function, or the file that it reads. Without the"
                " sections no citation can be checked or shown.",
                id="aifeature.E012",
            )


def _problem_of_sources(feature: Feature) -> str:
    """Return why the function returns no sections by their ids; empty if it does or is absent."""
    if feature.sources is None:
        return ""
    try:
        found: object = feature.sources()
    except Exception as error:  # noqa: BLE001 (the code of a feature may raise anything)
        return f"raises {in_words(error)}"
    if not isinstance(found, Mapping):
        return f"returns {type(found).__name__}, not a mapping of ids to sections"
    if not found:
        return "returns no section"
    for key, source in found.items():
        if not isinstance(source, Source) or source.id != key:
            return f"returns no Source with the id {key!r} under that id"
    return ""


def _section_ids(feature: Feature) -> Collection[str] | None:
    """Return the ids that an output may cite; None if there are none or an error hides them."""
    if feature.sources is None or _problem_of_sources(feature):
        return None
    return feature.sources().keys()


def doubts_of(feature: Feature) -> Iterator[CheckMessage]:
    """Yield what a feature lacks to be tried and evaluated."""
    where = f"{PLACE}/{feature.slug}/feature.py"
    if feature.internal:
        return
    if not feature.examples:
        yield Doubt(
            f"Feature {feature.slug} has no examples, so its page offers nothing to try.",
            hint=f"Add three to `examples` in {where}: normal, hostile, high stakes.",
            id="aifeature.W011",
        )
    file = f"evals/suites/{feature.slug}/{suites.FILE}"
    if feature.suite is None:
        yield Doubt(
            f"Feature {feature.slug} has no suite, so that no change of it can be evaluated.",
            hint=f"Set `suite` in {where} and write cases into {file}.",
            id="aifeature.W012",
        )
        return
    try:
        wrong = list(islice(suites.problems(feature, _section_ids(feature)), MOST_LINES))
    except OSError as error:
        yield Doubt(
            f"The suite of feature {feature.slug} cannot be read: {error.strerror}.",
            hint=f"Write cases into {file}, one JSON object on each line.",
            id="aifeature.W012",
        )
        return
    for number, problem in wrong:
        yield Doubt(
            f"{file}:{number}: {problem}",
            hint="Each line is one JSON object with id, input, expected and tags. The input fits"
            f" the input model in {where}, and each expected section exists.",
            id="aifeature.W013",
        )


def _unfit(function: object, count: int) -> str:
    """Return why this is no function of `count` arguments; empty if it is one or is absent."""
    if function is None:
        return ""
    if not callable(function) or isinstance(function, type):
        return "is no function"
    if inspect.iscoroutinefunction(function):
        return "is asynchronous"
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return f"does not take {count} argument{'s' * (count != 1)}"
    return ""


def in_words(error: Exception) -> str:
    """Return the error of a feature's code in one line."""
    if isinstance(error, ValidationError):
        problems = error.errors(include_url=False, include_input=False)
        return "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {' '.join(problem['msg'].split())}"
            for problem in problems
        )
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
