"""An answer is validated, and repaired by the model if it does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from aifeature import registry
from aifeature.models.storable import storable, storable_json
from aifeature.services.alerting import alerts
from aifeature.services.execution import output
from aifeature.services.execution.hooks import FeatureBrokenError
from aifeature.services.execution.output import OutputInvalidError
from aifeature.services.functions import function
from aifeature.services.functions.errors import FunctionFailedError
from aifeature.services.payloads import json_values
from tests.functions_in_thread import FunctionsInThread

SUMMARIZE = registry.get("summarize")
SUMMARY = SUMMARIZE.output_model.model_validate({"summary": "Two.", "key_facts": []})
INPUT = {"document": "A text."}

IN_THREAD = FunctionsInThread()

validate = partial(output.validate, IN_THREAD)
plain_answer = partial(output.plain, IN_THREAD)


def is_storable(value: object) -> bool:
    return json_values.problem(value) is None


def test_an_answer_that_fits_is_returned_as_json_values() -> None:
    text = '{"summary": "Two sentences.", "key_facts": ["One fact."]}'
    assert validate(SUMMARIZE, INPUT, text) == {
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
        validate(SUMMARIZE, INPUT, text)
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
    assert validate(SUMMARIZE, INPUT, text) == {
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
    assert validate(SUMMARIZE, INPUT, text)["summary"] == expected


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
        validate(BROAD, INPUT, f'{{"share": {share}, "count": {count}, "text": "a"}}')


def test_an_exception_of_a_model_is_logged_without_the_answer(
    caplog: pytest.LogCaptureFixture, alerted: list[str]
) -> None:
    with pytest.raises(FeatureBrokenError):
        validate(BROAD, INPUT, '{"share": 1, "count": 0, "text": "SECRET"}')
    assert "ZeroDivisionError" in caplog.text
    assert "SECRET" not in caplog.text
    assert alerted == ["summarize"]


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
        found = validate(feature, INPUT, f'{{"value": {nested}}}')
    except OutputInvalidError:
        return
    assert json_values.problem(found) is None


class AnyAnswer(BaseModel):
    value: Any


@pytest.fixture
def alerted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The features that alerts were opened about."""
    found: list[str] = []

    def begin(kind: str, subject: str, summary: str) -> None:
        found.append(subject)

    monkeypatch.setattr(alerts, "begin_or_renew", begin)
    return found


def checked_by(check: Callable[[Any, Any], Iterable[str]]) -> dict[str, Any]:
    feature = SUMMARIZE.model_copy(update={"check": check})
    return validate(feature, INPUT, '{"summary": "Two.", "key_facts": []}')


def test_the_check_of_a_feature_gets_input_and_output_as_their_models() -> None:
    def check(value: Any, answer: Any) -> Iterable[str]:
        assert (value.document, answer.summary) == ("A text.", "Two.")
        return []

    assert checked_by(check)["summary"] == "Two."


def test_a_problem_that_the_check_finds_makes_the_answer_invalid() -> None:
    with pytest.raises(OutputInvalidError) as error:
        checked_by(lambda value, answer: [f"problem {n}" for n in range(20)])
    assert error.value.problems == [f"problem {n}" for n in range(function.MAX_PROBLEMS)]


def raises(value: Any, answer: Any) -> Iterable[str]:
    raise KeyError("SECRET")


def raises_later(value: Any, answer: Any) -> Iterable[str]:
    yield "one"
    raise KeyError("SECRET")


def hangs(value: Any, answer: Any) -> Iterable[str]:
    raise FunctionFailedError("takes longer than 5 s")


def is_a_text(value: Any, answer: Any) -> Iterable[str]:
    return "one problem"


@pytest.mark.parametrize(
    ("check", "what"),
    [
        (raises, "KeyError"),
        (raises_later, "KeyError"),
        (is_a_text, "TypeError"),
        (hangs, "takes longer"),
    ],
)
def test_a_check_that_raises_or_hangs_is_a_defect_of_its_feature(
    check: Callable[[Any, Any], Iterable[str]],
    what: str,
    alerted: list[str],
) -> None:
    with pytest.raises(FeatureBrokenError, match=f"check of the feature summarize .*{what}"):
        checked_by(check)
    assert alerted == ["summarize"]


def test_a_check_cannot_change_the_answer() -> None:
    def check(value: Any, answer: Any) -> Iterable[str]:
        answer.summary = "Changed."
        return []

    assert checked_by(check)["summary"] == "Two."


@pytest.mark.parametrize(
    "junk",
    [
        lambda value: None,
        lambda value: "text",
        lambda value: value,
        lambda value: SUMMARIZE.output_model.model_construct(summary="", key_facts=[]),
        lambda value: SUMMARIZE.output_model.model_construct(summary=1e999, key_facts=[]),
    ],
)
def test_a_plain_answer_that_does_not_fit_is_a_defect(
    junk: Callable[[Any], Any], alerted: list[str]
) -> None:
    offers = SUMMARIZE.model_copy(update={"plain": junk, "offers_plain": True})
    with pytest.raises(FeatureBrokenError, match="plain of the feature summarize"):
        plain_answer(offers, INPUT)
    assert alerted == ["summarize"]


def test_a_plain_answer_must_pass_the_check(alerted: list[str]) -> None:
    update = {"plain": lambda value: SUMMARY, "offers_plain": True, "check": lambda *_: ["wrong"]}
    with pytest.raises(FeatureBrokenError):
        plain_answer(SUMMARIZE.model_copy(update=update), INPUT)
    assert alerted == ["summarize"]


def test_only_a_feature_that_offers_it_has_a_plain_answer(alerted: list[str]) -> None:
    def plain(value: Any) -> BaseModel:
        return SUMMARIZE.output_model.model_validate({"summary": value.document, "key_facts": []})

    offers = SUMMARIZE.model_copy(update={"plain": plain, "offers_plain": True})
    assert plain_answer(offers, INPUT) == {"summary": "A text.", "key_facts": []}
    assert plain_answer(SUMMARIZE.model_copy(update={"plain": plain}), INPUT) is None
    broken = SUMMARIZE.model_copy(update={"plain": lambda value: 1 / 0, "offers_plain": True})
    with pytest.raises(FeatureBrokenError):
        plain_answer(broken, INPUT)
    assert alerted == ["summarize"]
