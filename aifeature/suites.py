"""Suites: the cases that evaluate a feature, in `evals/suites/<slug>/cases.jsonl`.

Each line is one JSON object: `id`, `input`, `expected`, `tags`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aifeature.spec import Citation, Feature

FOLDER = Path(__file__).resolve().parent.parent / "evals" / "suites"
FILE = "cases.jsonl"


class Case(BaseModel):
    """One case of a suite."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    """Its name in reports, unique in the suite."""

    input: dict[str, Any]
    expected: dict[str, Any]
    """Compared with the output by the scorer of the suite."""

    tags: tuple[str, ...] = ()


def file(slug: str) -> Path:
    """Return the path of a feature's suite, which may not exist."""
    return FOLDER / slug / FILE


def problems(
    feature: Feature, sections: Collection[str] | None = None
) -> Iterator[tuple[int, str]]:
    """Yield the number and a problem of each wrong line. Raises OSError if there is no file.

    Args:
        feature: The feature that the suite evaluates.
        sections: The ids that an output may cite. None: citations are not checked.
    """
    ids: set[str] = set()
    lines = file(feature.slug).read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            case = Case.model_validate(json.loads(line))
            feature.input_model.model_validate_json(json.dumps(case.input))
        except ValidationError as error:
            where = "" if error.title == Case.__name__ else "input."
            yield number, "; ".join(f"{where}{each}" for each in _fields(error))
        except ValueError as error:
            yield number, f"not JSON: {error}"
        else:
            if case.id in ids:
                yield number, f"id: {case.id!r} is the id of an earlier line"
            ids.add(case.id)
            if sections is not None:
                yield from ((number, each) for each in _uncited(feature, case, sections))


def _uncited(feature: Feature, case: Case, sections: Collection[str]) -> Iterator[str]:
    """Yield a problem for each expected section that does not exist."""
    for name, field in feature.output_model.model_fields.items():
        if Citation in get_args(field.annotation):
            expected = case.expected.get(name, [])
            for each in expected if isinstance(expected, list) else [expected]:
                if each not in sections:
                    yield f"expected.{name}: the feature has no section {each!r}"


def _fields(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False):
        yield f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
