"""What an input's text must hold, and which names in it may be repeated to its sender."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

_VISIBLE: Final = frozenset("LNPS")
"""Initials of the Unicode categories whose characters are drawn: letters, numbers, punctuation and
symbols. Marks are drawn only on another character; the others are blank or format the text."""

_BLANK: Final = ("FILLER", "PATTERN BLANK", "NULL NOTEHEAD")
"""How the names of letters and symbols end that are drawn as nothing all the same."""

NOTHING_TO_READ: Final = "This holds nothing but blank or invisible characters. Enter some text."


def is_visible(text: str) -> bool:
    """Whether a reader sees anything of the text."""
    return any(
        unicodedata.category(character)[0] in _VISIBLE
        and not unicodedata.name(character, "").endswith(_BLANK)
        for character in text
    )


def without_text(model: type[BaseModel], value: dict[str, Any]) -> list[str]:
    """Names of the fields of an input that need text and hold only invisible characters.

    An input whose text is invisible altogether is reported as `input`, whatever its fields need.
    """
    need_text = {
        name
        for name, field in _schema(model).get("properties", {}).items()
        if isinstance(value.get(name), str) and field.get("minLength", 0) > 0
    }
    found = [name for name in sorted(need_text) if not is_visible(value[name])]
    texts = list(_texts(value))
    if not found and texts and not any(map(is_visible, texts)):
        return ["input"]
    return found


def known_path(model: type[BaseModel], location: Iterable[str | int]) -> str:
    """The dotted path of an error in an input, up to the first name that is none of the model's.

    A name that a client made up is not sent back: it may be anything. `input` if nothing is left.
    """
    known = []
    for part in location:
        if isinstance(part, str) and part not in _names(model):
            break
        known.append(str(part))
    return ".".join(known) or "input"


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


@cache
def _names(model: type[BaseModel]) -> frozenset[str]:
    """Names of the fields of a model and of all models in it."""
    root = _schema(model)
    schemas = (root, *root.get("$defs", {}).values())
    return frozenset(name for schema in schemas for name in schema.get("properties", {}))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str() if value:
            yield value
        case dict():
            for part in value.values():
                yield from _texts(part)
        case list():
            for part in value:
                yield from _texts(part)
