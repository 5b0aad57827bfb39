"""An input from JSON to its model, to its row, back, and into a prompt."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, Json, RootModel, computed_field

from aifeature import model_checks
from aifeature.services.payloads import input_values
from tests import made_models
from tests.made_models import Kind


@given(st.data())
def test_a_stored_input_is_read_as_what_was_sent(data: Any) -> None:
    fields = data.draw(made_models.fields(made_models.all_kinds))
    model = made_models.model(fields)
    sent = data.draw(made_models.values(fields))
    first = input_values.read(model, sent)
    stored = json.loads(json.dumps(input_values.dumped(first)))
    assert input_values.read(model, stored) == first
    assert list(model_checks.changed(model)) == []


@given(st.data())
def test_a_prompt_has_each_value_as_text_or_as_json(data: Any) -> None:
    fields: dict[str, Kind] = data.draw(made_models.fields(made_models.all_kinds))
    model = made_models.model(fields)
    value = input_values.read(model, data.draw(made_models.values(fields)))
    expected = value.model_dump(mode="json")
    found = input_values.for_prompt(value)
    assert found.keys() == fields.keys()
    for name, text in found.items():
        assert text == expected[name] or json.loads(text) == expected[name]


class Values(BaseModel):
    tags: list[str]
    urgent: bool
    day: date
    nothing: None
    amount: Decimal
    more: dict[str, list[bool | None]]


def test_no_value_reaches_a_prompt_as_python_writes_it() -> None:
    value = Values(
        tags=["vip", "it's"],
        urgent=True,
        day=date(2026, 11, 28),
        nothing=None,
        amount=Decimal("1.50"),
        more={"a": [True, None]},
    )
    assert input_values.for_prompt(value) == {
        "tags": '["vip", "it\'s"]',
        "urgent": "true",
        "day": "2026-11-28",
        "nothing": "null",
        "amount": "1.50",
        "more": '{"a": [true, null]}',
    }


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    day: date
    tags: set[str]
    pair: tuple[int, str]
    user_name: str = Field(alias="userName")
    parsed: Json[list[int]]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        return len(self.tags)


def test_a_strict_model_with_aliases_is_stored_and_read_again() -> None:
    sent = {"day": "2026-11-28", "tags": ["a"], "pair": [1, "b"], "userName": "Ö", "parsed": "[1]"}
    stored = input_values.dumped(input_values.read(Strict, sent))
    assert stored == sent
    assert input_values.for_prompt(input_values.read(Strict, stored)) == {
        "day": "2026-11-28", "tags": '["a"]', "pair": '[1, "b"]', "user_name": "Ö", "parsed": "[1]",
    }  # fmt: skip
    assert list(model_checks.changed(Strict)) == []


class Inner(BaseModel):
    gone: int = Field(exclude=True)


class Renamed(BaseModel):
    name: int = Field(validation_alias="in", serialization_alias="out")


class Whole(BaseModel):
    inner: list[Inner]


@pytest.mark.parametrize(
    ("model", "words"),
    [(Whole, "'gone'"), (Renamed, "'in'"), (RootModel[dict[str, int]], "RootModel")],
)
def test_a_model_whose_values_are_not_read_again_is_named(
    model: type[BaseModel], words: str
) -> None:
    (found,) = model_checks.changed(model)
    assert words in found
