"""Suites: the cases that evaluate a feature, in `evals/suites/<slug>/`.

`cases.jsonl` has one JSON object on each line. `suite.toml` gives the meaning of each tag, and of
each criterion if a judge scores. Instead of `cases.jsonl` there may be a `test_set.json`: a list of
`{"input": "a question", "expected_keyword": "a word"}` for a feature with one text field.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from aifeature.spec import Feature

FOLDER = Path(__file__).resolve().parent.parent / "evals" / "suites"
FILE: Final = "cases.jsonl"
SIMPLE: Final = "test_set.json"
ABOUT: Final = "suite.toml"

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,59}$")]


class SuiteError(ValueError):
    """A suite cannot be read. The text has a line for each problem, with its place."""

    text_is_ours = True


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Entry = Annotated[str, StringConstraints(min_length=1)]
"""A text, or `/a regular expression/`. Case, kind of quotes and width of spaces do not count."""


class Keywords(_Frozen):
    """Words that the output has or lacks. A list in `all` holds alternatives."""

    all: tuple[Entry | tuple[Entry, ...], ...] = ()
    any: tuple[Entry, ...] = ()
    none: tuple[Entry, ...] = ()

    @field_validator("all", "any", "none")
    @classmethod
    def _expressions_are_valid(cls, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        for entry in entries:
            for each in (entry,) if isinstance(entry, str) else entry:
                if is_expression(each):
                    try:
                        re.compile(each[1:-1])
                    except re.error as error:
                        raise ValueError(f"{each} is no regular expression: {error}") from None
        return entries


def is_expression(entry: str) -> bool:
    """Return whether a keyword is a regular expression between two slashes."""
    return entry.startswith("/") and entry[1:].endswith("/")


class Citations(_Frozen):
    """Sections that the output cites: each of `all`, and one of `any`."""

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()


class Length(_Frozen):
    """Size of the output's main text."""

    min_sentences: int | None = Field(default=None, ge=0)
    max_sentences: int | None = Field(default=None, ge=1)
    max_words: int | None = Field(default=None, ge=1)


class Expected(_Frozen):
    """Requirements for an output. Each part has a scorer, and a case passes if all of them pass."""

    exact: dict[str, Any] = {}
    """The value of output fields. A list holds the values that are right."""

    keywords: Keywords | None = None
    citations: Citations | None = None
    language: str | None = Field(default=None, pattern=r"^[a-z]{2}$")
    """ISO 639-1 code of the main text."""

    length: Length | None = None
    reference: str | None = Field(default=None, min_length=1)
    """A right answer, for the judge."""

    custom: dict[str, Any] = {}
    """By the name of a function in the feature's `suite`: what it takes."""

    @model_validator(mode="after")
    def _is_not_empty(self) -> Expected:
        if not self.model_dump(exclude_defaults=True):
            raise ValueError("nothing is expected, so every output would pass")
        return self


class Case(_Frozen):
    """One case of a suite."""

    id: Id
    """Its name in reports, unique in the suite. It never changes."""

    input: dict[str, Any]
    expected: Expected
    tags: tuple[str, ...] = ()
    group: str = ""
    """Cases of one document or template share a group: their errors are no independent evidence."""

    must: bool = False
    """Whether it may never break, however good the others are."""

    held_out: bool = False
    """Whether authors of prompts see only if it passed."""

    note: str = ""
    """Why the expectation is right."""


class About(_Frozen):
    """`suite.toml`."""

    tags: dict[str, str] = {}
    criteria: dict[str, str] = {}
    """By criterion: the judge's question, and the meaning of 1, 3 and 5."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite that was read without a problem."""

    slug: str
    cases: tuple[Case, ...]
    about: About
    hash: str
    """Hex SHA-256 of everything that can change a verdict: cases and criteria."""


def folder(slug: str) -> Path:
    return FOLDER / slug


def file(slug: str) -> Path:
    """Return the path of a feature's cases, which may not exist."""
    simple = folder(slug) / SIMPLE
    return simple if simple.exists() else folder(slug) / FILE


def load(feature: Feature, *, path: Path | None = None) -> Suite:
    """Return the feature's suite.

    Args:
        feature: Its feature.
        path: Another file of cases, with its `suite.toml` beside it.

    Raises:
        SuiteError: a file is missing or a line is wrong. Names each place.
    """
    path = path or file(feature.slug)
    try:
        sections = feature.sources() if feature.sources else ()
        wrong = list(problems(feature, sections, path=path))
        if wrong:
            raise SuiteError("\n".join(f"{path.name}:{line}: {problem}" for line, problem in wrong))
        cases = tuple(case for _, case in _cases(feature, path) if isinstance(case, Case))
    except OSError as error:
        raise SuiteError(f"{path} cannot be read: {error.strerror}.") from None
    if not cases:
        raise SuiteError(f"{path} has no case.")
    about = _about(path)
    found = [case.model_dump(mode="json", exclude={"note", "tags"}) for case in cases]
    canonical = json.dumps([found, about.criteria], sort_keys=True, separators=(",", ":"))
    return Suite(feature.slug, cases, about, hashlib.sha256(canonical.encode()).hexdigest())


def problems(
    feature: Feature, sections: Collection[str] | None = None, *, path: Path | None = None
) -> Iterator[tuple[int, str]]:
    """Yield the number and a problem of each wrong line.

    `sections` are the ids that the feature's outputs may cite; None: not known, so not checked.
    Raises OSError if there is no file.
    """
    path = path or file(feature.slug)
    lines = list(_cases(feature, path))  # before `suite.toml`: its absence is the main problem
    try:
        about = _about(path)
    except SuiteError as error:
        yield 0, str(error)
        return
    ids: set[str] = set()
    held_out: dict[str, bool] = {}
    for number, case in lines:
        if isinstance(case, str):
            yield number, case
            continue
        yield from ((number, problem) for problem in _misfits(feature, case, about))
        if sections is not None:
            yield from ((number, problem) for problem in _uncited(case.expected, sections))
        if case.id in ids:
            yield number, f"id: {case.id!r} is the id of an earlier line"
        ids.add(case.id)
        if held_out.setdefault(case.group or case.id, case.held_out) != case.held_out:
            yield number, f"held_out: group {case.group!r} must be held out as a whole or not"


def _about(path: Path) -> About:
    about = path.with_name(ABOUT)
    if not about.exists():
        return About()
    try:
        return About.model_validate(tomllib.loads(about.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise SuiteError(f"{ABOUT}: {'; '.join(_fields(error))}") from None
    except ValueError as error:
        raise SuiteError(f"{ABOUT}: {error}") from None


def _cases(feature: Feature, path: Path) -> Iterator[tuple[int, Case | str]]:
    """Yield the number of each line with its case, or with its problem."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".json":
        yield from _simple_cases(feature, text)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            yield number, Case.model_validate(json.loads(line))
        except ValidationError as error:
            yield number, "; ".join(_fields(error))
        except ValueError as error:
            yield number, f"not JSON: {error}"


def _simple_cases(feature: Feature, text: str) -> Iterator[tuple[int, Case | str]]:
    """Yield cases of the form `{"input": text, "expected_keyword": text}`, numbered from 1."""
    (field, *others) = feature.input_model.model_fields
    try:
        rows = TypeAdapter(list[dict[str, str]]).validate_json(text)
    except ValidationError as error:
        yield 0, f"not a list of objects with texts: {'; '.join(_fields(error))}"
        return
    for number, row in enumerate(rows, start=1):
        if set(row) != {"input", "expected_keyword"}:
            yield number, "each object has an input and an expected_keyword, and nothing else"
        elif others:
            yield number, f"the input of {feature.slug} has several fields; use {FILE}"
        else:
            yield (
                number,
                Case(
                    id=f"case-{number}",
                    input={field: row["input"]},
                    expected=Expected(keywords=Keywords(all=(row["expected_keyword"],))),
                ),
            )


def _misfits(feature: Feature, case: Case, about: About) -> Iterator[str]:
    """Yield the parts of a case that do not fit its feature or `suite.toml`."""
    try:
        feature.input_model.model_validate_json(json.dumps(case.input))
    except ValidationError as error:
        yield "; ".join(f"input.{each}" for each in _fields(error))
    expected, suite = case.expected, feature.suite
    unknown = {
        f"tags: %r is not in {ABOUT}": set(case.tags) - about.tags.keys(),
        "expected.custom: %r is no function of the feature's suite": (
            expected.custom.keys() - (suite.functions if suite else {}).keys()
        ),
    }
    for text, names in unknown.items():
        yield from (text % name for name in sorted(names))
    for name, value in expected.exact.items():
        yield from _wrong_values(feature, name, value)
    if expected.reference is not None and not about.criteria:
        yield f"expected.reference: {ABOUT} has no criteria for a judge"


def _uncited(expected: Expected, sections: Collection[str]) -> Iterator[str]:
    cited = expected.citations or Citations()
    for each in (*cited.all, *cited.any):
        if each not in sections:
            yield f"expected.citations: the feature has no section {each!r}"


def _wrong_values(feature: Feature, name: str, value: Any) -> Iterator[str]:
    field = feature.output_model.model_fields.get(name)
    if field is None:
        yield f"expected.exact: there is no output field {name!r}"
        return
    adapter: TypeAdapter[Any] = TypeAdapter(field.annotation or Any)
    for each in value if isinstance(value, list) else [value]:
        try:
            adapter.validate_json(json.dumps(each))
        except ValidationError:
            yield f"expected.exact.{name}: {each!r} is no value of the field"


def _fields(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False):
        where = ".".join(map(str, problem["loc"]))
        yield f"{where}: {problem['msg']}" if where else problem["msg"]


__all__: Sequence[str] = (
    "ABOUT",
    "FILE",
    "About",
    "Case",
    "Citations",
    "Expected",
    "Keywords",
    "Length",
    "Suite",
    "SuiteError",
    "file",
    "folder",
    "is_expression",
    "load",
    "problems",
)
