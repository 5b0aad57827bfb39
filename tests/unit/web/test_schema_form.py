"""A form from any input model has a widget for each field, and returns JSON."""

from __future__ import annotations

import sys
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from django import forms
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from pydantic import BaseModel, Field

from aifeature import registry
from aifeature.spec import Feature, Route
from aifeature.web import choices, show
from aifeature.web.json_fields import Given, Number
from aifeature.web.schema_form import SchemaForm, form_class


class Tone(StrEnum):
    PLAIN = "plain"
    VERY_FORMAL = "very_formal"


class Everything(BaseModel):
    text: str = Field(max_length=30, description="A line.")
    long: str = Field(min_length=2, max_length=40, json_schema_extra={"format": "textarea"})
    tone: Tone
    size: Literal["s", "m", "l", "xl", "xxl", "3xl"] = "m"
    level: Literal[1, 2, 3] | None = None
    count: int = Field(ge=1, le=9)
    share: float | None = Field(default=None, ge=0, le=1)
    urgent: bool
    polite: bool | None = None
    names: list[str]
    topics: list[Tone] = []
    nickname: str | None = None
    starts: Annotated[str, Field(json_schema_extra={"format": "date"})] = "2026-01-01"


class Output(BaseModel):
    answer: str


def feature(model: type[BaseModel]) -> Feature:
    return Feature(
        slug="everything",
        title="Everything",
        description="All kinds of fields.",
        input_model=model,
        output_model=Output,
        prompt_version="v1",
        routes=(Route(models=("m",)),),
    )


FORM = form_class(feature(Everything))
GOOD = (
    "in-text=a+line&in-long=first%0D%0Asecond&in-tone=very_formal&in-size=xl&in-level=2&in-count=3"
    "&in-share=0.5&in-urgent=on&in-polite=false&in-names=Ana%0D%0A%0D%0A+Bo+&in-topics=plain"
    "&in-nickname=&in-starts=2026-05-01"
)


def filled(query: str, **files: bytes) -> SchemaForm:
    uploads: Any = {f"in-{k}-file": SimpleUploadedFile("f.txt", v) for k, v in files.items()}
    return FORM(QueryDict(query), MultiValueDict({k: [v] for k, v in uploads.items()}))


def test_every_kind_of_field_comes_back_as_the_model_takes_it() -> None:
    form = filled(GOOD)
    assert form.is_valid(), form.errors
    assert form.value() == {
        "text": "a line",
        "long": "first\nsecond",
        "tone": "very_formal",
        "size": "xl",
        "level": 2,
        "count": 3,
        "share": 0.5,
        "urgent": True,
        "polite": False,
        "names": ["Ana", "Bo"],
        "topics": ["plain"],
        "starts": "2026-05-01",
    }
    Everything.model_validate(form.value())


def test_an_empty_field_is_left_out_unless_empty_is_valid() -> None:
    form = filled("in-text=a&in-long=bc&in-tone=plain&in-size=m&in-count=1")
    assert form.is_valid(), form.errors
    assert form.value() == {
        "text": "a", "long": "bc", "tone": "plain", "size": "m", "count": 1,
        "urgent": False, "names": [],
    }  # fmt: skip
    Everything.model_validate(form.value())


@pytest.mark.parametrize(
    ("query", "field"),
    [
        (GOOD.replace("in-text=a+line", "in-text="), "text"),
        (GOOD.replace("in-text=a+line", "in-text=" + "x" * 31), "text"),
        (GOOD.replace("in-long=first%0D%0Asecond", "in-long=x"), "long"),
        (GOOD.replace("in-tone=very_formal", "in-tone=rude"), "tone"),
        (GOOD.replace("in-tone=very_formal", ""), "tone"),
        (GOOD.replace("in-count=3", "in-count=10"), "count"),
        (GOOD.replace("in-count=3", "in-count=3.5"), "count"),
        (GOOD.replace("in-share=0.5", "in-share=nan"), "share"),
        (GOOD.replace("in-level=2", "in-level=7"), "level"),
        (GOOD.replace("in-text=a+line", "in-text=%00"), "text"),
    ],
)
def test_an_error_is_shown_at_its_field(query: str, field: str) -> None:
    form = filled(query)
    assert not form.is_valid()
    assert list(form.errors) == [field]


def test_a_line_end_counts_as_one_character() -> None:
    lines = "%0D%0A".join(["abc"] * 10)  # 39 characters with \n, 48 with \r\n
    assert filled(GOOD.replace("in-long=first%0D%0Asecond", f"in-long={lines}")).is_valid()


def test_widgets_fit_the_kinds() -> None:
    form = FORM()
    widgets = {name: type(field.widget).__name__ for name, field in form.fields.items()}
    assert widgets == {
        "text": "TextInput", "long": "Textarea", "tone": "RadioSelect", "size": "Select",
        "level": "RadioSelect", "count": "NumberInput", "share": "NumberInput",
        "urgent": "CheckboxInput", "polite": "RadioSelect", "names": "Textarea",
        "topics": "CheckboxSelectMultiple", "nickname": "TextInput", "starts": "TextInput",
    }  # fmt: skip
    html = form.as_div()
    assert 'type="date"' in html
    assert "Very formal" in html
    assert "A line." in html
    assert "maxlength" not in html, "browsers would cut what is pasted"


def test_a_text_file_takes_the_place_of_the_text() -> None:
    form = filled(GOOD, long="\ufeffGrüße\r\nKöln".encode())
    assert form.is_valid(), form.errors
    assert form.value()["long"] == "Grüße\nKöln"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"a\0b", "not plain text"),
        (b" \n", "empty"),
        (b"x" * 1_000_001, "1,000,001"),
    ],
)
def test_an_unreadable_file_gives_one_error_with_its_cause(content: bytes, words: str) -> None:
    form = filled(GOOD.replace("in-long=first%0D%0Asecond", "in-long="), long=content)
    assert not form.is_valid()
    assert list(form.errors) == ["long"]
    (message,) = form.errors["long"]
    assert words in message


def test_a_file_for_a_field_that_takes_none_is_ignored() -> None:
    form = filled(GOOD, text=b"from a file")
    assert form.is_valid()
    assert form.value()["text"] == "a line"


def test_problems_of_the_model_go_to_their_fields() -> None:
    form = filled(GOOD)
    assert form.is_valid()
    form.refuse(
        [{"field": "names.1", "message": "Too short."}, {"field": "input", "message": "No."}]
    )
    assert form.errors["names"] == ["Too short."]
    assert form.non_field_errors() == ["No."]


class Inner(BaseModel):
    a: int


class Nested(BaseModel):
    inner: Inner
    anything: Any
    rows: list[list[int]] = []
    amount: Decimal
    share: float
    answer: Literal[True, "1", 1, None]  # noqa: PYI061 (pydantic reads it)
    nothing: str | None
    several: list[Literal["a", None]] = []  # noqa: PYI061 (pydantic reads it)


NESTED = form_class(feature(Nested))


def test_a_value_without_a_widget_is_written_as_json() -> None:
    form = NESTED(
        QueryDict(
            'in-inner={"a": 1}&in-anything=[]&in-amount=0.12345678901234567890'
            "&in-share=9007199254740993&in-answer=null"
            "&in-several=null&in-several=%22a%22"
        )
    )
    assert form.is_valid(), form.errors
    assert form.value() == {
        "inner": {"a": 1}, "anything": [], "amount": "0.12345678901234567890",
        "share": 9007199254740993, "answer": None, "nothing": None,
        "several": [None, "a"],
    }  # fmt: skip
    html = NESTED(initial={"rows": Given([[1]])}).as_div()
    assert "Enter JSON." in html
    for label in ("Yes", "Nothing"):
        assert label in html


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "required"),
        ("{", "valid JSON"),
        ('{"a": 1, "a": 2}', "twice"),
        ("[" * 9_999, "levels deep"),
    ],
    ids=lambda value: value[:20],
)
def test_invalid_json_is_reported_at_its_field(text: str, words: str) -> None:
    form = NESTED({"in-inner": text})
    assert words in str(form.errors["inner"])


def test_a_whole_number_keeps_all_its_digits() -> None:
    number = int(sys.float_info.max) - 1  # no float is equal to it
    assert Number(required=True).clean(str(number)) == number


def test_values_of_different_kinds_are_different_options() -> None:
    field: Any = NESTED.base_fields["answer"]
    keys = {choices.key(field, value) for value in (True, "1", 1, None)}
    assert len(keys) == 4
    assert choices.key(field, "true") is None


@pytest.mark.parametrize("slug", list(registry.all_features()))
def test_every_feature_has_a_form_and_a_heading_for_its_stream(slug: str) -> None:
    found = registry.get(slug)
    assert set(form_class(found).base_fields) == set(found.input_model.model_fields)
    assert isinstance(form_class(found)(), forms.Form)
    assert bool(show.stream_label(found)) == bool(found.stream_field)
