"""Checks of input text, and field names that are safe to return to the client."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

from pydantic import BaseModel

_VISIBLE: Final = frozenset("LNPS")
"""First letters of the visible Unicode categories: letters, numbers, punctuation and symbols. Marks
are drawn only on another character; the others are blank or format the text."""

_BLANK: Final = ("FILLER", "PATTERN BLANK", "NULL NOTEHEAD")
"""Endings of the names of letters and symbols that are blank nevertheless."""

NOTHING_TO_READ: Final = "This contains only blank or invisible characters. Enter some text."


def is_visible(text: str) -> bool:
    """Return whether the text has a visible character."""
    return any(
        unicodedata.category(character)[0] in _VISIBLE
        and not unicodedata.name(character, "").endswith(_BLANK)
        for character in text
    )


def without_text(model: type[BaseModel], value: dict[str, Any]) -> list[str]:
    """Return the names of the fields that require text but contain only invisible characters.

    If all text of the input is invisible, return `input`, even if no field requires text.
    """
    need_text = {
        name
        for name, field in _schema(model).get("properties", {}).items()
        if isinstance(value.get(name), str) and field.get("minLength", 0) > 0
    }
    found = [name for name in sorted(need_text) if not is_visible(value[name])]
    found_texts = list(texts(value))
    if not found and found_texts and not any(map(is_visible, found_texts)):
        return ["input"]
    return found


def known_path(model: type[BaseModel], location: Iterable[str | int]) -> str:
    """Return the dotted path of an error, up to the first name that is not in the model.

    Names invented by the client may contain anything and are not returned. `input` if none is left.
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
    """Return the field names of a model and of all models in it."""
    root = _schema(model)
    schemas = (root, *root.get("$defs", {}).values())
    return frozenset(name for schema in schemas for name in schema.get("properties", {}))


def texts(value: Any) -> Iterator[str]:
    """Yield each text that is not empty in JSON values."""
    match value:
        case str() if value:
            yield value
        case dict():
            for part in value.values():
                yield from texts(part)
        case list():
            for part in value:
                yield from texts(part)
