"""Generated models of features, and values that fit them."""

from __future__ import annotations

import enum
import operator
import string
import sys
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Optional
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model

from aifeature.services.guards import hidden
from aifeature.spec import Feature, Limits, Route

LARGEST = int(sys.float_info.max)

NUMBERS = st.one_of(
    st.from_regex(
        r"-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,25})?", fullmatch=True
    ),
    st.from_regex(r"-?[0-9](\.[0-9])?[eE]-?[1-9][0-9]{19,24}", fullmatch=True),
)
"""Numbers as RFC 8259 allows them in a text, also those that no float and no decimal can hold."""

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0<"), max_size=20).map(
    lambda text: hidden.clean(text)[0]
)
"""Texts without halves of surrogate pairs, NUL and hidden characters, which guards remove. A prompt
may split a text at `<`."""

names = st.text(string.ascii_lowercase, min_size=3, max_size=8).map(lambda name: f"f_{name}")
numbers = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-LARGEST, LARGEST) | st.sampled_from((2**53 + 1, -(2**63) - 1, 10**25))
json_values: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | integers | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


class Color(enum.Enum):
    RED = "red"
    TWO = 2
    NONE = None


@dataclass(frozen=True)
class Kind:
    """A type of a field."""

    annotation: Any
    values: SearchStrategy[Any]
    """Values of the type, in JSON."""
    carried: bool = True
    """Whether the provider can return it in an answer."""


PLAIN = (
    Kind(str, texts),
    Kind(int, integers),
    Kind(float, numbers),
    Kind(bool, st.booleans()),
    Kind(None, st.none()),
    Kind(Decimal, st.decimals(allow_nan=False, allow_infinity=False).map(str)),
    Kind(date, st.dates().map(date.isoformat)),
    Kind(datetime, st.datetimes().map(datetime.isoformat)),
    Kind(time, st.times().map(time.isoformat)),
    Kind(UUID, st.uuids().map(str)),
    Kind(bytes, texts),
    Kind(
        timedelta, st.integers(-(10**6), 10**6).map(lambda days: f"{'-' * (days < 0)}P{abs(days)}D")
    ),
    Kind(
        Literal["plain", 7, True, None],  # noqa: PYI061 (pydantic reads it)
        st.sampled_from(("plain", 7, True, None)),
    ),
    Kind(Literal["only"], st.just("only")),
    Kind(Color, st.sampled_from(("red", 2, None))),
    Kind(Annotated[str, Field(max_length=30)], texts),
    Kind(Annotated[int, Field(ge=0, lt=100)], st.integers(0, 99)),
)
OPEN = (
    Kind(Any, json_values, carried=False),
    Kind(object, json_values, carried=False),
    Kind(JsonValue, json_values, carried=False),
    Kind(dict, st.dictionaries(texts, json_values, max_size=3), carried=False),
    Kind(list, st.lists(json_values, max_size=3), carried=False),
)


class Pair(NamedTuple):
    left: int
    right: str


_of: Any = operator.getitem
"""Subscripts a generic type at run time."""


def _composed(inner: SearchStrategy[Kind]) -> SearchStrategy[Kind]:
    return st.one_of(
        inner.map(_listed),
        _SET_MEMBERS.map(_set),
        inner.map(_optional),
        inner.map(_tuple),
        st.dictionaries(names, inner, min_size=1, max_size=3).map(_nested),
    )


def _open(inner: SearchStrategy[Kind]) -> SearchStrategy[Kind]:
    return st.one_of(_composed(inner), inner.map(_keyed), inner.map(_by_position), st.just(TREE))


def _listed(kind: Kind) -> Kind:
    return Kind(_of(list, kind.annotation), st.lists(kind.values, max_size=3), kind.carried)


def _tuple(kind: Kind) -> Kind:
    return Kind(_of(tuple, (kind.annotation, ...)), st.lists(kind.values, max_size=3), kind.carried)


def _set(kind: Kind) -> Kind:
    return Kind(_of(set, kind.annotation), st.lists(kind.values, max_size=3), kind.carried)


def _optional(kind: Kind) -> Kind:
    return Kind(
        _of(Optional, kind.annotation),
        st.none() | kind.values,
        kind.carried,
    )


_SET_MEMBERS = st.sampled_from(PLAIN) | st.sampled_from(PLAIN).map(_optional)
"""Kinds that can be hashed. A filter of all kinds would reject most draws."""


def _nested(fields: dict[str, Kind]) -> Kind:
    values = st.fixed_dictionaries({name: kind.values for name, kind in fields.items()})
    return Kind(model(fields), values, all(kind.carried for kind in fields.values()))


def _keyed(kind: Kind) -> Kind:
    return Kind(
        _of(dict, (str, kind.annotation)),
        st.dictionaries(texts, kind.values, max_size=3),
        False,
    )


def _by_position(kind: Kind) -> Kind:
    return Kind(
        _of(tuple, (int, kind.annotation)), st.tuples(integers, kind.values).map(list), False
    )


class Tree(BaseModel):
    name: str
    parts: list[Tree] = []


TREE = Kind(
    Tree,
    st.recursive(
        st.builds(lambda name: {"name": name, "parts": []}, texts),
        lambda inner: st.builds(
            lambda name, parts: {"name": name, "parts": parts}, texts, st.lists(inner, max_size=2)
        ),
        max_leaves=3,
    ),
    carried=False,
)

carried_kinds: SearchStrategy[Kind] = st.recursive(st.sampled_from(PLAIN), _composed, max_leaves=4)
all_kinds: SearchStrategy[Kind] = st.recursive(st.sampled_from(PLAIN + OPEN), _open, max_leaves=4)


def fields(kinds: SearchStrategy[Kind]) -> SearchStrategy[dict[str, Kind]]:
    """Return the fields of a model, by name."""
    return st.dictionaries(names, kinds, min_size=1, max_size=4)


def model(made: dict[str, Kind]) -> type[BaseModel]:
    """Return a model with these fields."""
    definitions: dict[str, Any] = {name: (kind.annotation, ...) for name, kind in made.items()}
    found: type[BaseModel] = create_model(
        "Made", __config__=ConfigDict(extra="forbid"), **definitions
    )
    return found


def values(made: dict[str, Kind]) -> SearchStrategy[dict[str, Any]]:
    """Return JSON objects that fit a model with these fields."""
    return st.fixed_dictionaries({name: kind.values for name, kind in made.items()})


def feature(input_model: type[BaseModel], output_model: type[BaseModel]) -> Feature:
    """Return a feature that replaces `summarize`."""
    return Feature(
        slug="summarize",
        title="Made",
        description="Made for a test.",
        input_model=input_model,
        output_model=output_model,
        prompt_version="v1",
        routes=(Route(models=("claude-haiku-5-5",)),),
        limits=Limits(user_daily_budget_usd=None, daily_budget_usd=None),
    )


def prompt_source(names_of_fields: list[str]) -> str:
    """Return a prompt file with each field between tags of its name."""
    parts = "\n".join(f"<{name}>\n{{{{{name}}}}}\n</{name}>" for name in names_of_fields)
    parameters = 'note = "Made."\nmax_tokens = 4000'
    return f"+++\n{parameters}\n+++\n# System\nAnswer.\n\n# User\n{parts}\nGo on.\n"
