"""JSON Schema for the filler: references, merged parts, types, formats, bounds of numbers.

jsonschema checks schemas and values; see docs/decisions/json-schema-in-sandbox.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from workers.sandbox import cues

MAX_HOPS = 8

FORMATS = {
    "date": (r"\b\d{4}-\d\d-\d\d\b", "1970-01-01"),
    "date-time": (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "1970-01-01T00:00:00Z"),
    "time": (r"\b\d\d:\d\d:\d\dZ", "00:00:00Z"),
    "duration": (r"\bP(?:T\d+[HMS]|\d+[DWMY])\b", "PT0S"),
    "email": (r"[\w.+-]{1,64}@[\w-]{1,63}\.[a-z]{2,}", "nobody@example.com"),
    "hostname": (r"\b(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,}\b", "example.com"),
    "uri": (r"https?://[^\s<>\"']+[\w/]", "https://example.com/"),
    "ipv4": (r"\b(?:\d{1,2}\.){3}\d{1,2}\b", "127.0.0.1"),
    "ipv6": (r"\b(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b", "::1"),
    "uuid": (
        r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
        "00000000-0000-0000-0000-000000000000",
    ),
}
"""By string format: a pattern that finds it in a text, and a value if the text has none."""

_IMPLIED = {"properties": "object", "items": "array", "minimum": "number", "maximum": "number"}


_PYTHON: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "boolean": bool,
    "integer": int, "number": (int, float), "null": type(None),
}  # fmt: skip


@dataclass(slots=True)
class Place:
    """A place in a value: its container, its key there, its name and its schema."""

    holder: Any
    key: Any
    name: str
    schema: Mapping[str, Any]

    @property
    def value(self) -> Any:
        return self.holder[self.key]

    @property
    def limits(self) -> dict[str, Any]:
        """Return the schema with the bounds that the SDK moved into the description."""
        return {**cues.limits(str(self.schema.get("description", ""))), **self.schema}

    @property
    def is_free_text(self) -> bool:
        fixed = self.schema.keys() & {"enum", "const", "format", "pattern"}
        return isinstance(self.value, str) and not fixed

    @property
    def bounds(self) -> tuple[Any, Any]:
        return self.limits.get("minimum"), self.limits.get("maximum")

    def put(self, value: Any) -> None:
        self.holder[self.key] = value


class Root:
    """A whole schema, to which the references in its parts point."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema

    @cached_property
    def _registry(self) -> Registry[Any]:
        registry = Registry[Any]().with_resource("", DRAFT202012.create_resource(self.schema))
        return cast("Registry[Any]", registry)

    def resolved(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a part with its reference followed and its `allOf` merged; own keywords win."""
        own = dict(schema)
        for _ in range(MAX_HOPS):
            if "$ref" not in own:
                break
            own = {**self._registry.resolver().lookup(own.pop("$ref")).contents, **own}
        for part in own.pop("allOf", ()):
            inner = self.resolved(part)
            properties = {**inner.get("properties", {}), **own.get("properties", {})}
            required = [*inner.get("required", ()), *own.get("required", ())]
            own = {**inner, **own, **({"properties": properties} if properties else {})}
            own["required"] = required
        return own

    def places(self, holder: Any, key: Any, schema: Any, name: str = "") -> Iterator[Place]:
        """Yield the place `holder[key]` and all places within it, with their schemas."""
        value = holder[key]
        own = self.resolved(schema if isinstance(schema, Mapping) else {})
        options = [self.resolved(option) for option in own.get("anyOf") or own.get("oneOf") or ()]
        if options and all("const" in option for option in options):
            own["enum"] = [option["const"] for option in options]
        elif options:
            own = {**own, **next((option for option in options if _fits(value, option)), {})}
        yield Place(holder, key, name, own)
        if isinstance(value, dict):
            for inner in value:
                yield from self.places(value, inner, own.get("properties", {}).get(inner), inner)
        elif isinstance(value, list):
            for at in range(len(value)):
                yield from self.places(value, at, own.get("items"), name)

    def first_valid(self, values: Iterable[Any], schema: Mapping[str, Any]) -> Any:
        """Return the first value that a schema allows, or else the first one."""
        validator = Draft202012Validator(
            schema, registry=self._registry, format_checker=FormatChecker()
        )
        values = list(values)
        return next((value for value in values if validator.is_valid(value)), values[0])


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value is of a type that a schema names."""
    named = schema.get("type", list(_PYTHON))
    names = named if isinstance(named, list) else [named]
    return any(isinstance(value, _PYTHON[name]) for name in names)


def kind(schema: Mapping[str, Any], *, prefer_null: bool) -> str:
    """Return the type to produce: the named one, the first of several, or the implied one."""
    named = schema.get("type")
    if isinstance(named, list):
        if prefer_null and "null" in named:
            return "null"
        named = next((name for name in named if name != "null"), "null")
    return named or next((name for key, name in _IMPLIED.items() if key in schema), "string")


def bounded(value: float, schema: Mapping[str, Any], *, whole: bool) -> float:
    """Return the nearest number that the schema allows, with at most six decimals."""
    step = schema.get("multipleOf") or (1 if whole else 1e-6)
    at = round(value / step)
    if "minimum" in schema:
        at = max(at, math.ceil(schema["minimum"] / step))
    if "exclusiveMinimum" in schema:
        at = max(at, math.floor(schema["exclusiveMinimum"] / step) + 1)
    if "maximum" in schema:
        at = min(at, math.floor(schema["maximum"] / step))
    if "exclusiveMaximum" in schema:
        at = min(at, math.ceil(schema["exclusiveMaximum"] / step) - 1)
    return int(at * step) if whole else round(float(at * step), 6)
