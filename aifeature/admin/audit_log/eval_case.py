"""A case for a feature's suite, prepared from a guard event. A person decides what is expected."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from unicodedata import category

from aifeature import registry, suites
from aifeature.guarding import Guard
from aifeature.models import GuardEvent
from aifeature.spec import Feature

ADVERSARIAL: Final = "adversarial"
"""A tag of most suites, for inputs that try to set the answer."""

_ENDS: Final = frozenset({"Zl", "Zp"})

_ATTACKS: Final = frozenset({Guard.INJECTION, Guard.LEAK})

TEMPLATES: Final = (
    ("The answer has the right values", '{"exact": {"FIELD": "VALUE"}}'),
    ("The answer lacks words", '{"keywords": {"none": ["WORDS OF A WRONG ANSWER"]}}'),
    ("The answer has words", '{"keywords": {"all": ["WORDS OF A RIGHT ANSWER"]}}'),
)
"""Forms of `expected`, with words to replace."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A line for a file of cases. `expected` is empty, so the suite refuses it as it is."""

    line: str
    file: str
    problems: list[str]
    """Other parts that a person must change."""
    tags: dict[str, str]
    """Tags of the suite, with their meanings."""
    has_input: bool
    """Whether the input is the job's. Otherwise it is the evidence alone."""


def prepare(event: GuardEvent, job_input: dict[str, Any] | None) -> Prepared | None:
    """Return a case for the feature's suite; None if the feature is no longer in the code.

    `job_input` is the job's input, if it is stored and the visitor may read it.
    """
    feature = registry.find(event.feature)
    if feature is None:
        return None
    tags = suites.tags(feature)
    row = {
        "id": f"production-{event.pk}",
        "input": job_input if job_input is not None else _of_evidence(feature, event.evidence),
        "expected": {},
        "tags": [suites.PRODUCTION, *_kind(event, tags)],
        "note": f"Guard event {event.pk}, {event.at:%Y-%m-%d}: {event.guard} {event.category},"
        f" {event.action}.",
    }
    return Prepared(
        line=_visible(json.dumps(row, ensure_ascii=False)),
        file=f"evals/suites/{feature.slug}/{suites.FILE}",
        problems=suites.problems_of_line(feature, _with_an_expectation(row)),
        tags=tags,
        has_input=job_input is not None,
    )


def _visible(line: str) -> str:
    """Return the line with other ends of lines and invisible characters escaped, for copying."""
    return "".join(
        json.dumps(each)[1:-1] if category(each)[0] == "C" or category(each) in _ENDS else each
        for each in line
    )


def _of_evidence(feature: Feature, evidence: str) -> dict[str, str]:
    fields = feature.input_model.model_fields
    texts = [name for name, field in fields.items() if field.annotation is str]
    return {texts[0]: evidence} if texts else {}


def _kind(event: GuardEvent, tags: dict[str, str]) -> list[str]:
    is_attack = event.stage == GuardEvent.Stage.INPUT and event.guard in _ATTACKS
    return [ADVERSARIAL] if is_attack and ADVERSARIAL in tags else []


def _with_an_expectation(row: dict[str, Any]) -> str:
    """Return the line with some expectation, to find the problems of all other parts."""
    return json.dumps({**row, "expected": {"length": {"max_words": 1}}})
