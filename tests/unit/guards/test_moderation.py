"""The text of an answer for the feature `moderation`, and the finding of its verdict."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, StringConstraints

from aifeature import prompts
from aifeature.features.moderation.feature import FEATURE, Category, Text, Verdict, check
from aifeature.guarding import Finding, Guard
from aifeature.services.guards import moderation


class Colour(StrEnum):
    RED = "red"


class Item(BaseModel):
    id: str
    note: str | None
    language: Annotated[str, StringConstraints(pattern="^[a-z]{2}$")]


class Made(BaseModel):
    title: str
    colour: Colour
    size: Literal["small", "large"] | None
    items: list[Item]
    names: dict[str, str]
    count: int


def text_of(**values: object) -> str:
    usual = {"title": "", "colour": "red", "size": "small", "items": [], "names": {}, "count": 3}
    return moderation.text_of({**usual, **values}, Made.model_json_schema())


def test_the_free_texts_of_an_answer_are_read_in_order() -> None:
    item = {"id": "plan-b", "note": "Second.", "language": "en"}
    text = text_of(title=" First. ", items=[item, {**item, "note": None}], names={"Key": "Value."})
    assert text == "First.\n\nSecond.\n\nKey\n\nValue."
    assert text_of() == ""


@pytest.mark.parametrize(
    "values",
    [
        {"items": [{"id": "Hurt yourself now", "note": "", "language": "en"}]},
        {"colour": "Hurt yourself now"},
        {"more": "Hurt yourself now"},
        {"names": {"Hurt yourself now": ""}},
    ],
)
def test_no_text_hides_in_a_field_for_labels_or_outside_of_the_schema(
    values: dict[str, object],
) -> None:
    assert "Hurt yourself now" in text_of(**values)


def test_a_contradicting_verdict_is_unsafe_and_a_clean_one_is_no_finding() -> None:
    safe = {"category": "none", "unsafe": False, "reason": "It answers."}
    assert moderation.verdict(safe) is None
    threat = Finding(Guard.MODERATION, "violence", "A threat.")
    unsafe = {"category": "violence", "unsafe": True, "reason": "A threat."}
    assert moderation.verdict(unsafe) == threat
    assert moderation.verdict({**unsafe, "unsafe": False}) == threat
    assert moderation.verdict({**safe, "unsafe": True}) is not None


@pytest.mark.parametrize("category", Category)
def test_each_category_is_defined_and_only_none_is_safe(category: Category) -> None:
    assert prompts.get("moderation", "v1").system.count(f"\n- {category}: ") == 1
    text = Text(text="A text.")
    for unsafe in (True, False):
        problems = check(text, Verdict(category=category, unsafe=unsafe, reason="A reason."))
        assert bool(list(problems)) == (unsafe == (category == moderation.SAFE))


def test_the_most_serious_category_is_first_in_the_prompt_and_in_the_schema() -> None:
    system = prompts.get("moderation", FEATURE.prompt_version).system
    unsafe = [each for each in Category if each is not Category.NONE]
    assert sorted(unsafe, key=lambda each: system.index(f"\n- {each}: ")) == unsafe
