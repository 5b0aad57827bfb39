"""Converts data with its JSON Schema into a tree for a template."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from aifeature.web import languages, schema
from aifeature.web.schema import Schema

Kind = Literal[
    "text", "choice", "number", "flag", "items", "choices", "object", "list", "raw", "none"
]


@dataclass(frozen=True, slots=True)
class Node:
    """A value and how to show it.

    `text`: paragraphs. `choice`: a value of an enumeration. `items`: a list of plain values.
    `choices`: a list of enumeration values. `list`: a list of objects. `none`: no value. `raw`: a
    value without a schema.
    """

    kind: Kind
    value: str = ""
    label: str = ""
    name: str = ""
    children: tuple[Node, ...] = field(default_factory=tuple)


def sections(root: Schema, data: Any) -> list[Node]:
    """Return a node for each property of an object, in the schema's order, then for all others."""
    if not isinstance(data, dict):
        return [_raw(data)]
    return list(_properties(schema.resolved(root, root), root, data))


def _properties(found: Schema, root: Schema, data: dict[str, Any]) -> tuple[Node, ...]:
    known: dict[str, Any] = dict(found.get("properties", {}))
    names = [*(n for n in known if n in data), *(n for n in data if n not in known)]
    return tuple(_named(name, known.get(name, {}), root, data[name]) for name in names)


def _named(name: str, found: Schema, root: Schema, data: Any) -> Node:
    node = _node(found, root, data)
    return Node(node.kind, node.value, schema.label(name, found), name, node.children)


def _node(found: Schema, root: Schema, data: Any) -> Node:  # noqa: PLR0911 (one a kind)
    value, _ = schema.without_null(found, root)
    match data:
        case None | "":
            return Node("none", "Nothing given")
        case bool():
            return Node("flag", "Yes" if data else "No")
        case int() | float():
            return Node("number", f"{data:,}")
        case str() if (options := schema.choices(value)) is not None:
            return Node("choice", _choice(options, data))
        case str():
            return Node("text", data)
        case list():
            return _list(value.get("items", {}), root, data)
        case dict() if "properties" in value:
            return Node("object", children=_properties(value, root, data))
        case _:
            return _raw(data)


def _choice(options: list[Any], value: str) -> str:
    return languages.name(value) if languages.are_codes(options) else schema.in_words(value)


def _list(items: Schema, root: Schema, data: list[Any]) -> Node:
    if not data:
        return Node("none", "None")
    children = tuple(_node(items, root, item) for item in data)
    kinds = {child.kind for child in children}
    if kinds == {"choice"}:
        return Node("choices", children=children)
    if kinds <= {"text", "choice", "number", "flag", "none"}:
        return Node("items", children=children)
    return Node("list", children=children)


def _raw(data: Any) -> Node:
    return Node("raw", json.dumps(data, indent=2, ensure_ascii=False))
