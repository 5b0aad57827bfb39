"""Reads the JSON Schemas that pydantic writes: references, optional values, labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def resolved(schema: Schema, root: Schema) -> Schema:
    """Return the schema with its reference resolved. Keys next to the reference win."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target: Schema = root["$defs"][reference.removeprefix("#/$defs/")]
    beside = {name: value for name, value in schema.items() if name != "$ref"}
    return {**resolved(target, root), **beside}


def without_null(schema: Schema, root: Schema) -> tuple[Schema, bool]:
    """Return the schema without null, and whether null is allowed."""
    schema = resolved(schema, root)
    options = schema.get("anyOf")
    if options is None:
        return schema, schema.get("type") == "null"
    others = [option for option in options if option.get("type") != "null"]
    if len(others) != 1:
        return {**schema, "anyOf": others}, len(others) < len(options)
    beside = {name: value for name, value in schema.items() if name != "anyOf"}
    return {**resolved(others[0], root), **beside}, len(others) < len(options)


def choices(schema: Schema) -> list[Any] | None:
    """Return the values of an enumeration; None for other schemas."""
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values


def is_decimal(schema: Schema) -> bool:
    """Return whether it is a decimal, which pydantic accepts as a number or as text."""
    options = schema.get("anyOf") or ()
    return sorted(str(option.get("type")) for option in options) == ["number", "string"]


def label(name: str, schema: Schema) -> str:
    """Return the model's own title, else the name in words instead of pydantic's title case."""
    title: str = schema.get("title", "")
    made_by_pydantic = title in {"", name.replace("_", " ").title()}
    return in_words(name) if made_by_pydantic or "$ref" in schema else title


def in_words(name: str) -> str:
    """Return a name in words: "Needs human" for `needs_human`."""
    words = name.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]
