"""Suites: the cases that evaluate a feature, in `evals/suites/<slug>/`.

`cases.jsonl` has one JSON object on each line. `suite.toml` gives the meaning of each tag, and of
each criterion if a judge scores. Instead of `cases.jsonl` there may be a `test_set.json`: a list of
`{"input": "a question", "expected_keyword": "a word"}` for a feature with one text field.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
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

PRODUCTION: Final = "production"
MARKS: Final = {PRODUCTION: "From a user's request, prepared from the guards' audit log"}
"""Tags that every suite has, with their meanings."""

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{1,59}$")]


class SuiteError(ValueError):
    """A suite cannot be read. The text has a line for each problem, with its place."""

    text_is_ours = True


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _can_be_found(entry: str) -> str:
    """Return an entry of keywords. Raises ValueError if it is in each text, or in none."""
    if is_expression(entry):
        try:
            re.compile(entry[1:-1])
        except re.error as error:
            raise ValueError(f"{entry} is no regular expression: {error}") from None
    elif not any(unicodedata.category(each)[0] not in "CZ" for each in entry):
        raise ValueError("a keyword needs a visible character")
    return entry


Entry = Annotated[str, AfterValidator(_can_be_found)]
"""A text, or `/a regular expression/`. Case, kind of quotes and width of spaces do not count."""


class Keywords(_Frozen):
    """Words that the output has or lacks. A list in `all` holds alternatives."""

    all: tuple[Entry | Annotated[tuple[Entry, ...], Field(min_length=1)], ...] = ()
    any: tuple[Entry, ...] = ()
    none: tuple[Entry, ...] = ()

    @field_validator("all", "any")
    @classmethod
    def _decide(cls, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        for entry in entries:
            for each in (entry,) if isinstance(entry, str) else entry:
                if is_expression(each) and re.search(each[1:-1], ""):
                    raise ValueError(f"{each} fits an empty text, so that it requires nothing")
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

    @model_validator(mode="after")
    def _is_possible(self) -> Length:
        if (self.min_sentences or 0) > (self.max_sentences or inf):
            raise ValueError("min_sentences is above max_sentences")
        return self


class Expected(_Frozen):
    """Requirements for an output. Each part has a scorer, and a case passes if all of them pass."""

    exact: dict[str, Any] = {}
    """The value of output fields. A list holds the values that are right."""

    keywords: Keywords | None = None
    citations: Citations | None = None
    language: str | None = Field(default=None, pattern=r"^[a-z]{2}$")
    """ISO 639-1 code of the main text."""

    length: Length | None = None
    figures: tuple[Annotated[str, StringConstraints(pattern=r"^\d+$")], ...] | None = None
    """If set: each figure of the text is in the input, in a section that it cites, or here. Digits
    alone. Figures up to twelve are free: a source often has them as words."""

    reference: str | None = Field(default=None, min_length=1, max_length=20_000)
    """A right answer, for the judge."""

    custom: dict[str, Any] = {}
    """By the name of a function in the feature's `suite`: what it takes."""

    @model_validator(mode="after")
    def _requires_something(self) -> Expected:
        parts = self.model_dump(exclude_defaults=True)
        if empty := [name for name, value in parts.items() if value == {}]:
            raise ValueError(f"{', '.join(empty)}: nothing is required")
        if parts.keys() == {"figures"}:
            raise ValueError("figures alone require nothing of an output without any")
        if not parts:
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

    @property
    def content(self) -> dict[str, Any]:
        """Everything that can change a verdict, as JSON values."""
        return self.model_dump(mode="json", exclude={"note", "tags"})


Criterion = Annotated[str, StringConstraints(min_length=1, max_length=60)]
Rubric = Annotated[str, StringConstraints(min_length=1, max_length=2_000)]
"""Both fit the input of the feature `judge`, and so do the number of criteria and references."""


class About(_Frozen):
    """`suite.toml`."""

    tags: dict[str, str] = {}
    criteria: dict[Criterion, Rubric] = Field(default={}, max_length=8)
    """By criterion: the judge's question, and the meaning of 1, 3 and 5."""

    @property
    def meanings(self) -> dict[str, str]:
        """The meanings of the suite's own tags and of MARKS."""
        return {**MARKS, **self.tags}


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
    given, path = path, path or file(feature.slug)
    try:
        sections = feature.sources() if feature.sources else ()
        wrong = list(problems(feature, sections, path=given))
        if wrong:
            raise SuiteError("\n".join(_placed(path, line, problem) for line, problem in wrong))
        cases = tuple(case for _, case in _cases(feature, path) if isinstance(case, Case))
    except OSError as error:
        raise SuiteError(f"{path} cannot be read: {error.strerror}.") from None
    if not cases:
        raise SuiteError(f"{path} has no case.")
    about = _about(path)
    canonical = json.dumps(
        [[case.content for case in cases], about.criteria], sort_keys=True, separators=(",", ":")
    )
    return Suite(feature.slug, cases, about, hashlib.sha256(canonical.encode()).hexdigest())


def _placed(path: Path, line: int, problem: str) -> str:
    return f"{path.name}:{line}: {problem}" if line else f"{path.name}: {problem}"


def problems(
    feature: Feature, sections: Collection[str] | None = None, *, path: Path | None = None
) -> Iterator[tuple[int, str]]:
    """Yield the number and a problem of each wrong line. The number is 0 for a whole file.

    `sections` are the ids that the feature's outputs may cite; None: not known, so not checked.
    Raises OSError if there is no file.
    """
    if path is None and all((folder(feature.slug) / each).exists() for each in (FILE, SIMPLE)):
        yield 0, f"there is a {SIMPLE} as well: keep one of them"
        return
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


def problems_of_line(feature: Feature, line: str) -> list[str]:
    """Return the problems of one more case for the feature's suite, other than with its id."""
    case = _case(line.encode())
    return [case] if isinstance(case, str) else list(_misfits(feature, case, _about_of(feature)))


def tags(feature: Feature) -> dict[str, str]:
    """Return the tags that a case of the feature may have, with their meanings."""
    return _about_of(feature).meanings


def _about_of(feature: Feature) -> About:
    """Return the feature's `suite.toml`; an empty one if it cannot be read."""
    try:
        return _about(file(feature.slug))
    except (SuiteError, OSError):
        return About()


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
    content = path.read_bytes()
    if content.startswith(codecs.BOM_UTF8):
        yield 1, "save the file as UTF-8 without a byte order mark (BOM)"
    elif path.suffix == ".json":
        yield from _simple_cases(feature, content)
    else:
        # Not `splitlines`: a text may hold other ends of lines, such as U+2028.
        lines = content.removesuffix(b"\n").split(b"\n") if content else []
        for number, line in enumerate(lines, start=1):
            yield number, _case(line)


def _case(line: bytes) -> Case | str:
    """Return the case of a line, or its problem."""
    if not line.strip():
        return "the line is empty: delete it"
    try:
        text = line.decode()
        parsed(text)
        return Case.model_validate_json(text, strict=True)
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} is not UTF-8: save the file as UTF-8"
    except ValidationError as error:
        return "; ".join(_fields(error))
    except _DoubleError as error:
        return str(error)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"


class _DoubleError(ValueError):
    """A name stands twice in an object, and the first value would be lost."""


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        name = next(name for name in names if names.count(name) > 1)
        raise _DoubleError(f"{name!r} is given twice in one object")
    return found


_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def parsed(text: str) -> Any:
    """Return JSON of a case as values. Raises ValueError if a part of it would be lost."""
    if _NUL.search(text):
        raise ValueError("\\u0000 cannot be stored")
    return json.loads(text, object_pairs_hook=_without_doubles, parse_constant=_no_number)


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


def _simple_cases(feature: Feature, content: bytes) -> Iterator[tuple[int, Case | str]]:
    """Yield the cases of a list of `{"input": text, "expected_keyword": text}`."""
    fields = feature.input_model.model_fields
    required = [name for name, field in fields.items() if field.is_required()]
    if len(required) != 1:
        needed = ", ".join(required) or "nothing"
        yield 0, f"{feature.slug} needs {needed}, not one text: write a {FILE}"
        return
    try:
        rows = list(_rows(content.decode()))
    except UnicodeDecodeError as error:
        yield 0, f"byte {error.start + 1} is not UTF-8: save the file as UTF-8"
    except json.JSONDecodeError as error:
        yield error.lineno, f"not a list in JSON: {error.msg}"
    except (ValueError, RecursionError) as error:
        yield 0, f"not a list in JSON: {error}"
    else:
        for number, (line, row) in enumerate(rows, start=1):
            yield line, _simple_case(f"case-{number}", required[0], row)


_ROW: Final = re.compile(r"[\s,]*(?=[^\s,\]])")


def _rows(text: str) -> Iterator[tuple[int, str]]:
    """Yield the text of each item of a list in JSON, with the number of its first line."""
    if not isinstance(json.loads(text), list):
        raise json.JSONDecodeError("it is another value", text, 0)
    decoder, end = json.JSONDecoder(), text.index("[") + 1
    while begin := _ROW.match(text, end):
        _, end = decoder.raw_decode(text, begin.end())
        yield 1 + text.count("\n", 0, begin.end()), text[begin.end() : end]


def _simple_case(id_: str, field: str, row: str) -> Case | str:
    try:
        match parsed(row):
            case {"input": str(text), "expected_keyword": str(keyword), **others} if not others:
                expected = Expected(keywords=Keywords(all=(keyword,)))
                return Case(id=id_, input={field: text}, expected=expected)
            case _:
                return "each object has the texts input and expected_keyword, and nothing else"
    except _DoubleError as error:
        return str(error)
    except ValidationError as error:
        return "; ".join(f"expected_keyword: {each['msg']}" for each in error.errors())
    except ValueError as error:
        return f"not JSON: {error}"


def _misfits(feature: Feature, case: Case, about: About) -> Iterator[str]:
    """Yield the parts of a case that do not fit its feature or `suite.toml`."""
    try:
        feature.input_model.model_validate_json(json.dumps(case.input))
    except ValidationError as error:
        yield "; ".join(f"input.{each}" for each in _fields(error))
    size = len(json.dumps(case.input, ensure_ascii=False, separators=(",", ":")).encode())
    if size > (most := feature.limits.max_input_bytes):
        yield f"input: it has {size:,} bytes, and the feature accepts {most:,}"
    expected, suite = case.expected, feature.suite
    unknown = {
        f"tags: %r is not in {ABOUT}": set(case.tags) - about.meanings.keys(),
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
    if value == []:
        yield f"expected.exact.{name}: no value is right; write [[]] for an empty list"
    adapter = _adapter(feature.output_model, name)
    for each in value if isinstance(value, list) else [value]:
        try:
            adapter.validate_json(json.dumps(each), strict=True)
        except ValidationError:
            yield f"expected.exact.{name}: {each!r} is no value of the field"


@lru_cache(maxsize=64)
def _adapter(model: type[BaseModel], name: str) -> TypeAdapter[Any]:
    """Return the validator of a field. Pydantic takes longer to make it than to use it."""
    field = model.model_fields[name]
    kind: Any = Annotated[field.annotation or Any, field]
    return TypeAdapter(kind)


def _fields(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False):
        where = ".".join(map(str, problem["loc"]))
        yield f"{where}: {problem['msg']}" if where else problem["msg"]


__all__: Sequence[str] = (
    "ABOUT",
    "FILE",
    "MARKS",
    "PRODUCTION",
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
    "parsed",
    "problems",
    "problems_of_line",
    "tags",
)
