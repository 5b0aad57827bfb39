"""The text of a field is read from a growing answer, in any pieces."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifeature.services.streams.field_text import FieldText

pytestmark = pytest.mark.slow

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=5)


def feed(field: str, pieces: list[str]) -> str:
    reader = FieldText(field)
    return "".join(reader.feed(piece) for piece in pieces)


def cut(text: str, seed: int) -> list[str]:
    """The text in random pieces; many of them one character, some empty."""
    rng = random.Random(seed)
    pieces = []
    while text:
        size = rng.choice([0, 1, 1, 1, 2, 3, 7, 50])
        pieces.append(text[:size])
        text = text[size:]
    return pieces


@given(
    before=OBJECTS,
    after=OBJECTS,
    text=st.text(),
    field=st.text(min_size=1),
    seed=st.integers(0, 2**32),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 0, 3]),
)
def test_the_deltas_join_to_the_text_however_the_answer_is_cut(
    before: dict[str, Any],
    after: dict[str, Any],
    text: str,
    field: str,
    seed: int,
    ascii_only: bool,
    indent: int | None,
) -> None:
    answer = {k: v for k, v in before.items() if k != field}
    answer[field] = text
    answer |= {k: v for k, v in after.items() if k != field}
    encoded = json.dumps(answer, ensure_ascii=ascii_only, indent=indent)
    assert feed(field, cut(encoded, seed)) == text


@given(value=VALUES.filter(lambda value: not isinstance(value, str)), seed=st.integers(0, 2**32))
def test_a_value_that_is_no_text_gives_none(value: Any, seed: int) -> None:
    encoded = json.dumps({"a": value, "text": value, "z": "later"})
    assert feed("text", cut(encoded, seed)) == ""
    assert feed("z", cut(encoded, seed)) == "later"


@given(garbage=st.text(alphabet=st.sampled_from('{}[]":,\\u0dD8ab\n é🎉')), seed=st.integers(0, 99))
def test_garbage_raises_nothing(garbage: str, seed: int) -> None:
    feed("a", cut(garbage, seed))
    feed("a", cut('{"a": "' + garbage, seed))
    feed("a", cut('{"b": ' + garbage, seed))


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        (r'{"t": "\ud83c\udf89"}', "🎉"),
        (r'{"t": "\ud83cx"}', "\ufffdx"),
        (r'{"t": "\ud83c\n"}', "\ufffd\n"),
        (r'{"t": "\ud83c\ud83c\udf89"}', "\ufffd🎉"),
        (r'{"t": "\udf89"}', "\ufffd"),
        (r'{"t": "\uzzzz!"}', "\ufffd!"),
        (r'{"t": "\"\\\/\b\f\n\r\t"}', '"\\/\b\f\n\r\t'),
        (r'{"\u0074": "escaped name"}', "escaped name"),
        (r'{"a": {"t": "nested"}, "b": ["t", "x"], "t": "own"}', "own"),
        (r'{"a": "\"t\": \"no\"", "t": "yes"}', "yes"),
        ('{"t": "unfinished', "unfinished"),
        ('```json\n{"t": "x"}', ""),
        ('["t", "x"]', ""),
        ('{"x": "y"} {"t": "second object"}', ""),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_known_cases(encoded: str, text: str, size: int) -> None:
    assert feed("t", [encoded[i : i + size] for i in range(0, len(encoded), size)]) == text


def test_text_is_given_out_as_soon_as_it_is_known() -> None:
    reader = FieldText("t")
    assert reader.feed('{"a": 1, "t": "Hel') == "Hel"
    assert reader.feed("lo\\") == "lo"
    assert reader.feed("ud83c\\ud") == ""
    assert reader.feed("f89!") == "🎉!"


def test_text_that_was_read_is_neither_kept_nor_read_again() -> None:
    """Else a long answer would take quadratic time."""
    reader = FieldText("t")
    for piece in ['{"other": "', *["abcd"] * 100, '", "t": "', *["ab\\n"] * 100]:
        reader.feed(piece)
        assert len(reader._buffer) <= len(piece) + len("\\ud83c\\udf89")
