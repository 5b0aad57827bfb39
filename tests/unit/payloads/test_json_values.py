"""Values that go through every layer, and those that are refused with their place."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from aifeature.services.payloads import input_values, json_values
from tests import made_models
from tests.made_models import LARGEST, NUMBERS

ODD = {
    "NaN": json_values.NOT_FINITE,
    "Infinity": json_values.NOT_FINITE,
    "-Infinity": json_values.NOT_FINITE,
    "1e999": json_values.TOO_LARGE,
    "-1e400": json_values.TOO_LARGE,
    "0e99999999999999999999": json_values.TOO_PRECISE,
    "1e-99999999999999999999": json_values.TOO_PRECISE,
    "9" * 309: json_values.TOO_LARGE,
    "-" + "9" * 5_000: json_values.TOO_LARGE,
    r'"a\u0000"': json_values.UNSTORABLE,
    r'"\ud800"': json_values.UNSTORABLE,
    r'{"\udfff": 1}': json_values.UNSTORABLE,
    "[" * 65 + "]" * 65: json_values.TOO_DEEP,
    '{"a":' * 65 + "1" + "}" * 65: json_values.TOO_DEEP,
}

steps = st.lists(st.sampled_from(("a", "b", 0, 1)), max_size=4)


def placed(text: str, path: list[str | int]) -> str:
    """JSON with a text at a path, beside valid values."""
    for step in reversed(path):
        if isinstance(step, int):
            text = f"[{', '.join([*['null'] * step, text, 'null'])}]"
        else:
            text = f'{{"z": [1], "{step}": {text}, "y": ""}}'
    return text


@given(made_models.json_values)
def test_every_other_value_is_read_as_it_was_sent(value: Any) -> None:
    found = json_values.parse(json.dumps(value))
    assert found == value
    assert json_values.problem(found) is None


@given(NUMBERS)
def test_any_number_that_json_can_write_is_read_or_refused(text: str) -> None:
    found = json_values.parse(f'{{"a": [{text}]}}')
    if json_values.problem(found) is None:
        assert float(found["a"][0]) == float(text)


@given(st.sampled_from(sorted(ODD)), steps)
def test_a_value_that_changes_in_json_is_found_with_its_place(odd: str, path: list[Any]) -> None:
    found = json_values.problem(json_values.parse(placed(odd, path)))
    assert found is not None
    assert list(found.path)[: len(path)] == path
    assert found.message == ODD[odd]


def test_no_depth_breaks_the_search() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    found = json_values.problem(value)
    assert found is not None
    assert found.message == json_values.TOO_DEEP
    while value != 1:  # else the interpreter takes the lists apart by recursion
        value = value[0]


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000, "[" * 9_999 + "]" * 9_999])
def test_a_text_of_any_depth_is_refused(text: str) -> None:
    with pytest.raises(json_values.NotJsonError):
        json_values.parse(text)


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe", "canary", '{"canary', "[1,]", "'a'"])
def test_no_json_is_refused_without_being_quoted(text: str | bytes) -> None:
    with pytest.raises(json_values.NotJsonError) as refusal:
        json_values.parse(text)
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    "value",
    [{1}, (1,), object(), b"a", {1: "a"}, [{None: 1}]],
    ids=lambda value: type(value).__name__,
)
def test_a_value_without_a_json_form_is_refused(value: Any) -> None:
    found = json_values.problem(value)
    assert found is not None
    assert found.message == json_values.NO_JSON


def test_the_largest_numbers_go_through() -> None:
    for number in (LARGEST, -LARGEST, 2**53 + 1, 1.7976931348623157e308, 5e-324):
        assert json_values.problem([number]) is None
    for number in (2 * 10**308, -2 * 10**308, 10**309):
        assert json_values.problem([number]) is not None


@pytest.mark.parametrize("number", [sys.float_info.max, -1.7976931348623155e308, -1e308, 1e308])
def test_a_large_float_is_read_back_as_jsonb_writes_it(number: float) -> None:
    """All digits, without an exponent."""
    found = json_values.parse(f"[{Decimal(repr(number)):f}]")
    assert json_values.problem(found) is None
    assert float(found[0]) == number


class Priced(BaseModel):
    amount: Decimal
    share: float
    more: list[dict[str, Decimal]] = []


@given(st.decimals(allow_nan=False, allow_infinity=False, places=None))
def test_a_decimal_keeps_its_digits_or_is_refused(amount: Decimal) -> None:
    text = f'{{"amount": {amount:f}, "share": {amount:f}, "more": [{{"a": {amount:f}}}]}}'
    sent = json_values.parse(text)
    if json_values.problem(sent):
        return  # it has more digits than any number may have
    stored = input_values.dumped(input_values.read(Priced, sent))
    if odd := json_values.lost_digits(sent, stored):
        assert odd.message == json_values.TOO_PRECISE
        assert odd.path in {("amount",), ("more", 0, "a")}
    else:
        assert Decimal(stored["amount"]) == amount
        assert Decimal(stored["more"][0]["a"]) == amount
    assert stored["share"] == float(amount)


def test_a_decimal_that_a_float_does_not_hold_is_refused_and_as_text_it_is_kept() -> None:
    sent = json_values.parse('{"amount": 0.12345678901234567890, "share": 0.10000000000000001}')
    odd = json_values.lost_digits(sent, input_values.dumped(input_values.read(Priced, sent)))
    assert odd is not None
    assert odd.path == ("amount",)
    kept = input_values.read(Priced, {**sent, "amount": "0.12345678901234567890"})
    assert kept.amount == Decimal("0.12345678901234567890")
