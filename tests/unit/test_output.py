"""Checking an answer, and asking for a better one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeature import registry
from aifeature.models.storable import is_storable, storable, storable_json
from aifeature.services import output
from aifeature.services.messages import MESSAGES
from aifeature.services.output import OutputInvalidError

SUMMARIZE = registry.get("summarize")


def test_an_answer_that_fits_is_returned_as_json_values() -> None:
    text = '{"summary": "Two sentences.", "key_facts": ["One fact."]}'
    assert output.validate(SUMMARIZE, text) == {
        "summary": "Two sentences.",
        "key_facts": ["One fact."],
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "answer: Invalid JSON"),
        ("SECRET prose", "answer: Invalid JSON"),
        ('{"summary": "SECRET"}', "key_facts: Field required"),
        ('{"summary": "", "key_facts": []}', "summary: String should have at least 1"),
        ('{"summary": "SECRET", "key_facts": "SECRET"}', "key_facts: Input should be a valid"),
        ('{"summary": "SECRET", "key_facts": [], "x": 1}', "x: Extra inputs"),
        ('{"summary": "SECRET", "key_facts": [' + ", ".join(['"f"'] * 9) + "]}", "key_facts: List"),
    ],
)
def test_an_answer_that_does_not_fit_is_named_but_not_echoed(text: str, problem: str) -> None:
    with pytest.raises(OutputInvalidError) as error:
        output.validate(SUMMARIZE, text)
    assert any(line.startswith(problem) for line in error.value.problems), error.value.problems
    assert "SECRET" not in str(error.value)


def test_the_model_is_shown_its_answer_and_each_problem() -> None:
    error = OutputInvalidError(["summary: Field required", "x: Extra inputs"])
    bad, request = output.repair_turns("{}", error)
    assert (bad.role, bad.content[0].text) == ("assistant", "{}")
    assert request.role == "user"
    assert all(problem in request.content[0].text for problem in error.problems)


def test_a_nul_is_replaced_before_the_answer_is_checked() -> None:
    text = '{"summary": "a\\u0000b", "key_facts": ["\\u0000", "c\\\\u0000"]}'
    assert output.validate(SUMMARIZE, text) == {
        "summary": "a\ufffdb",
        "key_facts": ["\ufffd", "c\\u0000"],
    }


@pytest.mark.parametrize(
    "value",
    ["\x00", "\ud83d", {"\x00": 1}, [1, ["a\udfff"]], {"a": {"b": ["\x00"]}}],
    ids=ascii,
)
def test_what_cannot_be_stored_is_found_and_replaced_wherever_it_hides(value: object) -> None:
    assert not is_storable(value)
    assert is_storable(storable(value))


@given(st.text(alphabet=st.characters()))
def test_parsed_text_is_always_storable_and_else_unchanged(text: str) -> None:
    parsed = json.loads(storable_json(json.dumps(text, ensure_ascii=False)))
    assert parsed == storable(text)


@given(
    st.text(alphabet=st.characters()) | st.text(alphabet='\\u0dD8c9"\x00\ud83d\ude00', max_size=9)
)
def test_escaped_text_is_always_storable_and_else_unchanged(text: str) -> None:
    """Half a character as an escape would make the whole answer invalid, and it is paid for."""
    parsed = json.loads(storable_json(json.dumps(text)))
    assert is_storable(parsed)
    if is_storable(text):
        assert parsed == text


def test_half_a_character_is_replaced_before_the_answer_is_checked() -> None:
    text = r'{"summary": "a\ud83d \uD83D\uDE00 \\ud83d \ude00\ud83d", "key_facts": []}'
    expected = "a\ufffd \U0001f600 \\ud83d \ufffd\ufffd"
    assert output.validate(SUMMARIZE, text)["summary"] == expected


def test_every_message_is_a_sentence_for_users() -> None:
    for code, text in MESSAGES.items():
        assert text[0].isupper(), code
        assert text.endswith("."), code
        assert "_" not in text, code
