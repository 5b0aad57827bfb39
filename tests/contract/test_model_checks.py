"""A model that no provider can answer, or whose values change on their way, stops the boot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import run_checks
from pydantic import BaseModel, Field, ValidationError

from aifeature import model_checks, registry
from aifeature.spec import Feature
from tests.unit.test_prompts import feature as made


class Scores(BaseModel):
    by_topic: dict[str, int]


class Anything(BaseModel):
    value: Any


class Node(BaseModel):
    children: list[Node]


class Hidden(BaseModel):
    document: str
    secret: str = Field(default="", exclude=True)


def broken(**changes: Any) -> Feature:
    return registry.get("summarize").model_copy(update={"stream_field": None, **changes})


@pytest.mark.parametrize(
    ("feature", "check", "words"),
    [
        (broken(output_model=Scores), "aifeature.E005", "by_topic allows keys of any name"),
        (broken(output_model=Anything), "aifeature.E005", "value takes any value"),
        (broken(output_model=Node), "aifeature.E005", "children[] is a Node within a Node"),
        (broken(input_model=Hidden), "aifeature.E006", "'secret'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_reported_at_boot_with_its_field_and_the_fix(
    monkeypatch: pytest.MonkeyPatch, feature: Feature, check: str, words: str
) -> None:
    monkeypatch.setattr(registry, "all_features", lambda: {feature.slug: feature})
    (problem,) = [found for found in run_checks(tags=["aifeature"]) if found.id == check]
    assert words in problem.msg
    assert "summarize" in problem.msg
    assert "aifeature/features/summarize/feature.py" in (problem.hint or "")


def test_the_features_of_the_code_have_no_such_model() -> None:
    for feature in registry.all_features().values():
        assert list(model_checks.problems_of(feature)) == []


class Called(BaseModel):
    back: Callable[[], int]


def test_a_model_without_a_schema_is_no_feature() -> None:
    for changes in ({"input_model": Called}, {"output_model": Called}):
        with pytest.raises(ValidationError, match="Called has no JSON Schema"):
            made(**changes)
