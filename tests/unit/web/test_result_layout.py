"""Results laid out by their schema, and printed without trusting a word of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import pytest
from django.template.loader import render_to_string
from pydantic import BaseModel, Field

from aifeature import registry
from aifeature.web import languages, result, show


class Person(BaseModel):
    full_name: str
    age: int | None = None


class Answer(BaseModel):
    summary: str
    urgency: Literal["low", "very_high"]
    tags: list[Literal["a", "b_c"]]
    facts: list[str]
    amount: float = Field(title="Sum to pay")
    count: int
    refund: bool
    owner: Person
    people: list[Person]
    note: str | None = None


DATA: dict[str, Any] = {
    "summary": "One.\n\nTwo <script>alert(1)</script>",
    "urgency": "very_high",
    "tags": ["a", "b_c"],
    "facts": ["<b>1</b>", "2"],
    "amount": 12.5,
    "count": 1234,
    "refund": False,
    "owner": {"full_name": "Ana", "age": None},
    "people": [{"full_name": "Bo", "age": 7}],
    "note": None,
}


def html(data: dict[str, Any]) -> str:
    nodes = result.sections(Answer.model_json_schema(), data)
    return "".join(render_to_string("aifeature/node.html", {"node": node}) for node in nodes)


def test_each_value_is_shown_as_what_it_is() -> None:
    nodes = result.sections(Answer.model_json_schema(), DATA)
    assert [(n.name, n.kind, n.label) for n in nodes] == [
        ("summary", "text", "Summary"),
        ("urgency", "choice", "Urgency"),
        ("tags", "choices", "Tags"),
        ("facts", "items", "Facts"),
        ("amount", "number", "Sum to pay"),
        ("count", "number", "Count"),
        ("refund", "flag", "Refund"),
        ("owner", "object", "Owner"),
        ("people", "list", "People"),
        ("note", "none", "Note"),
    ]


def test_is_printed_in_words_and_escaped() -> None:
    printed = html(DATA)
    for wanted in ["<p>One.</p>", "Very high", "B c", "1,234", "12.5", ">No<", "Full name", "Bo"]:
        assert wanted in printed
    assert "<script" not in printed
    assert "<b>" not in printed
    assert "&lt;b&gt;1" in printed


def test_a_result_of_an_older_release_is_shown() -> None:
    printed = html({"summary": "", "facts": [], "gone": {"deep": [1]}, "other": "text"})
    assert "Nothing given" in printed
    assert "None" in printed
    assert "deep" in printed
    assert "text" in printed


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (4.12, "4.1 s"), (59.9, "59.9 s"), (125, "2 min 5 s"), (3870, "1 h 4 min")],
)
def test_durations_have_readable_units(seconds: float, words: str) -> None:
    assert show.duration(timedelta(seconds=seconds)) == words


def test_languages_are_shown_by_name() -> None:
    def shown(*codes: str) -> list[str]:
        options = {"items": {"type": "string", "enum": codes}}
        (node,) = result.sections({"properties": {"codes": options}}, {"codes": [*codes]})
        return [child.value for child in node.children]

    assert shown("de", "en", "zh") == ["German", "English", "Chinese"]
    assert shown("hr", "it") == ["Hr", "It"], "these are departments"
    assert shown("en", "other") == ["En", "Other"]


def test_every_language_of_a_ticket_has_a_name() -> None:
    codes = registry.get("triage").output_schema["properties"]["language"]["enum"]
    assert languages.are_codes(codes)
