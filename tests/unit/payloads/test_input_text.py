"""Errors describe an input without quoting it, and invalid text is refused."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from aifeature.services.jobs.validation import _message
from aifeature.services.payloads import input_text

MARK = "made_up_by_a_client"


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]
    names: list[dict[str, int]] = []


class Owner(BaseModel):
    pet: Cat | Dog = Field(discriminator="kind")
    title: str = Field(min_length=1)
    note: str = ""


@pytest.mark.parametrize(
    ("pet", "path"),
    [
        ({"kind": MARK}, "pet"),
        ({"kind": "dog", "names": [{MARK: "x"}]}, "pet"),
        ({}, "pet"),
    ],
)
def test_an_error_quotes_no_name_and_no_tag_of_the_client(pet: object, path: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Owner.model_validate({"pet": pet, "title": "t"})
    (problem,) = raised.value.errors(include_input=False, include_url=False)
    assert input_text.known_path(Owner, problem["loc"]) == path
    assert MARK not in _message(problem)
    assert _message(problem)


def test_a_field_that_needs_text_needs_some_that_is_visible() -> None:
    blank = "\u200b \u3164"
    given = {"pet": {"kind": "cat"}, "title": blank, "note": "x"}
    assert input_text.without_text(Owner, given) == ["title"]
    assert input_text.without_text(Owner, {**given, "title": "x", "note": blank}) == []
    assert input_text.without_text(Dog, {"names": [], "kind": blank}) == ["input"]
    assert input_text.without_text(Dog, {"names": []}) == []
