"""JSON Schema itself: references, merged parts, implied types, bounds of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

MAX_HOPS = 8

FORMATS = {
    "date": (r"\b\d{4}-\d\d-\d\d\b", "1970-01-01"),
    "date-time": (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "1970-01-01T00:00:00Z"),
    "time": (r"\b\d\d:\d\d:\d\dZ", "00:00:00Z"),
    "duration": (r"\bP(?:T\d+[HMS]|\d+[DWMY])\b", "PT0S"),
    "email": (r"[\w.+-]+@[\w-]+\.[a-z]{2,}", "nobody@example.com"),
    "hostname": (r"\b(?:[a-z0-9-]+\.)+[a-z]{2,}\b", "example.com"),
    "uri": (r"https?://[^\s<>\"']+[\w/]", "https://example.com/"),
    "ipv4": (r"\b(?:\d{1,2}\.){3}\d{1,2}\b", "127.0.0.1"),
    "ipv6": (r"\b(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b", "::1"),
    "uuid": (
        r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
        "00000000-0000-0000-0000-000000000000",
    ),
}
"""For each string format: how it looks in a text, and a value if the text has none."""

_IMPLIED = {"properties": "object", "items": "array", "minimum": "number", "maximum": "number"}


def resolved(schema: Schema, root: Schema) -> dict[str, Any]:
    """The schema with its reference followed and its `allOf` merged; own keywords win."""
    own = dict(schema)
    for _ in range(MAX_HOPS):
        if "$ref" not in own:
            break
        target: Any = root
        for part in own.pop("$ref").lstrip("#/").split("/"):
            if part:
                target = target[part.replace("~1", "/").replace("~0", "~")]
        own = {**target, **own}
    for part in own.pop("allOf", ()):
        own = _merged(resolved(part, root), own)
    return own


def _merged(inner: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    both = {**inner, **own}
    if "properties" in inner and "properties" in own:
        both["properties"] = {**inner["properties"], **own["properties"]}
    if "required" in inner and "required" in own:
        both["required"] = [*inner["required"], *own["required"]]
    return both


def kind(schema: Schema, *, prefer_null: bool) -> str:
    """The type to produce: the one named, the first of several, or the one that is implied."""
    named = schema.get("type")
    if isinstance(named, list):
        if prefer_null and "null" in named:
            return "null"
        named = next((k for k in named if k != "null"), "null")
    if named is None:
        named = next((k for key, k in _IMPLIED.items() if key in schema), "string")
    return str(named)


def bounded(value: float, schema: Schema, *, whole: bool) -> float:
    """The nearest number the schema allows."""
    grid = schema.get("multipleOf") or (1 if whole else 0)
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    nudge = grid or 1e-6
    if "exclusiveMinimum" in schema:
        low = max(low, schema["exclusiveMinimum"] + nudge)
    if "exclusiveMaximum" in schema:
        high = min(high, schema["exclusiveMaximum"] - nudge)
    if grid:
        # On a grid, the bounds are the first and the last of its points between them.
        low = math.ceil(low / grid) * grid if low > -math.inf else low
        high = math.floor(high / grid) * grid if high < math.inf else high
        value = round(value / grid) * grid
    value = min(max(value, low), high)
    return int(value) if whole else round(float(value), 6)
