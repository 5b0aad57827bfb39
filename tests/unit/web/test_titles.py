"""Titles of jobs are one visible line, with any input."""

from __future__ import annotations

import unicodedata
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from aifeature import registry
from aifeature.web import titles

WORDS = "The parcel for the Lisbon office was sent on 3 March with 40 headsets and has not arrived."
OVERRIDE = "\u202e"


@given(st.text())
@example(f"{OVERRIDE}evil\u2066\u0000")
@example("x" * 500)
@example("\u200d" * 50)
@example("# " * 200)
def test_a_title_is_one_short_line_without_hidden_characters(text: str) -> None:
    title = titles.shortened(text)
    assert len(title) <= titles.LONGEST
    assert len(title.splitlines()) <= 1
    hidden = [c for c in title if unicodedata.category(c) in {"Cc", "Cf", "Co", "Cs"}]
    assert set(hidden) <= {"\u200c", "\u200d"}
    assert bool(title) == bool(title.strip("\u200c\u200d "))


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=titles.LONGEST))
def test_a_short_text_is_its_own_title(text: str) -> None:
    assert titles.shortened(f"\n ## {text}  \n") == text


def test_a_long_text_is_cut_between_words() -> None:
    title = titles.shortened(WORDS * 3)
    assert WORDS.startswith(title.removesuffix("…"))
    assert title.endswith("…")
    assert WORDS[len(title) - 1] in " ,."


@pytest.mark.parametrize("word", ["👩‍🚀", "می‌خواهم"])
def test_joined_characters_stay_joined(word: str) -> None:
    assert titles.shortened(word) == word


TONE = (Literal["formal", "plain"], ...)
TEXT = (str, ...)
LONG = (str, Field(json_schema_extra={"format": "textarea"}))
DATE = (str, Field(json_schema_extra={"format": "date"}))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tone": TONE, "document": LONG}, "document"),
        ({"question": TEXT, "handbook": LONG}, "question"),
        ({"note": (str | None, None), "document": LONG}, "document"),
        ({"note": (str | None, None)}, "note"),
        ({"day": DATE, "count": (int, 1), "ticket": TEXT}, "ticket"),
        ({"count": (int, 1), "tags": (list[str], ...)}, None),
    ],
)
def test_the_first_required_free_text_names_a_job(
    fields: dict[str, Any], field: str | None
) -> None:
    model: type[BaseModel] = create_model("Model", **fields)
    (feature, *_) = registry.all_features().values()
    assert titles.field_of(feature.model_copy(update={"input_model": model})) == field
