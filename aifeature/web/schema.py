"""Reads the JSON Schemas that pydantic writes: references, optional values, labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def resolved(schema: Schema, root: Schema) -> Schema:
    """The schema with its reference followed; what stands beside the reference wins."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    target: Schema = root["$defs"][reference.removeprefix("#/$defs/")]
    beside = {name: value for name, value in schema.items() if name != "$ref"}
    return {**resolved(target, root), **beside}


def without_null(schema: Schema, root: Schema) -> tuple[Schema, bool]:
    """The schema of the value itself, and whether null may stand in its place."""
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
    """The values an enumeration allows; None when it is none."""
    if "const" in schema:
        return [schema["const"]]
    values: list[Any] | None = schema.get("enum")
    return values


def is_decimal(schema: Schema) -> bool:
    """Whether it is a decimal number, which pydantic reads from a number or from its text."""
    options = schema.get("anyOf") or ()
    return sorted(str(option.get("type")) for option in options) == ["number", "string"]


def label(name: str, schema: Schema) -> str:
    """The title somebody wrote, else the name as words. Pydantic's own title is not a sentence."""
    title: str = schema.get("title", "")
    made_by_pydantic = title in {"", name.replace("_", " ").title()}
    return in_words(name) if made_by_pydantic or "$ref" in schema else title


def in_words(name: str) -> str:
    """`needs_human` as "Needs human"."""
    words = name.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]
