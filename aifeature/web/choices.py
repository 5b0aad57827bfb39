"""The values of an enumeration as options of a form field."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from django import forms

from aifeature.web import schema
from aifeature.web.json_fields import Given

_WORDS: Final = {"true": "Yes", "false": "No", "null": "Nothing"}


def of(allowed: Sequence[Any]) -> tuple[list[tuple[str, str]], Callable[[str], Any]]:
    """Return key and label of each option, and a function that returns the value of a key.

    Texts are their own keys unless the values have other types too: 1 and "1" differ.
    """
    plain = all(isinstance(value, str) for value in allowed)
    values = {value if plain else json.dumps(value): value for value in allowed}
    given = {key: Given(None) if value is None else value for key, value in values.items()}
    return [(key, _label(value)) for key, value in values.items()], given.__getitem__


def key(made: forms.TypedChoiceField | forms.TypedMultipleChoiceField, value: Any) -> str | None:
    """Return the key of a value; None if it is no option of the field."""
    wanted = json.dumps(value)  # to Python, 1 and True are equal
    options: Any = made.choices
    for found, _ in options:
        if found and json.dumps(Given.unwrapped(made.coerce(found))) == wanted:
            return str(found)
    return None


def _label(value: Any) -> str:
    return schema.in_words(value if isinstance(value, str) else _in_words(value))


def _in_words(value: Any) -> str:
    written = json.dumps(value)
    return _WORDS.get(written, written)
