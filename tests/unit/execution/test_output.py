"""An answer is validated, and repaired by the model if it does not fit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from aifeature import registry
from aifeature.models.storable import storable, storable_json
from aifeature.services.execution import output
from aifeature.services.execution.output import OutputInvalidError, OutputUncheckableError
from aifeature.services.payloads import json_values

SUMMARIZE = registry.get("summarize")


def is_storable(value: object) -> bool:
    return json_values.problem(value) is None


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
def test_a_text_that_cannot_be_stored_is_found_and_replaced(value: object) -> None:
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


class Broad(BaseModel):
    share: float
    count: int
    text: str

    @field_validator("count")
    @classmethod
    def _divides(cls, count: int) -> int:
        return count * (count // count)


BROAD = SUMMARIZE.model_copy(update={"output_model": Broad, "stream_field": None})


@pytest.mark.parametrize(
    ("share", "count", "problem"),
    [
        ("NaN", "1", "share: This must be a finite number"),
        ("1e400", "1", "share: This must be a finite number"),
        ("-Infinity", "1", "share: This must be a finite number"),
        ("1", "9" * 400, "count: This number is too large"),
    ],
    ids=lambda value: value[:20],
)
def test_a_number_that_no_layer_keeps_does_not_fit(share: str, count: str, problem: str) -> None:
    with pytest.raises(OutputInvalidError, match=problem):
        output.validate(BROAD, f'{{"share": {share}, "count": {count}, "text": "a"}}')


def test_an_exception_of_a_model_is_logged_without_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(OutputUncheckableError):
        output.validate(BROAD, '{"share": 1, "count": 0, "text": "SECRET"}')
    assert "ZeroDivisionError" in caplog.text
    assert "SECRET" not in caplog.text


@given(
    st.recursive(
        st.sampled_from(("NaN", "1e999", "1", "-0", '"\\ud800"', '"\\u0000"', "null", "9" * 5000)),
        lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
    ),
    st.integers(0, 300),
)
def test_every_answer_fits_or_is_refused(text: str, depth: int) -> None:
    nested = "[" * depth + text + "]" * depth
    feature = SUMMARIZE.model_copy(update={"output_model": AnyAnswer, "stream_field": None})
    try:
        found = output.validate(feature, f'{{"value": {nested}}}')
    except OutputInvalidError:
        return
    assert json_values.problem(found) is None


class AnyAnswer(BaseModel):
    value: Any
