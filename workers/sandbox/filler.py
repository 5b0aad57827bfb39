"""Fill a JSON Schema: walk through it and let `fields` choose the value of each place.

docs/decisions/json-schema-in-sandbox.md explains why no generator is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workers.sandbox import cues, fields
from workers.sandbox import text as texts
from workers.sandbox.reading import Reading
from workers.sandbox.schema import FORMATS, Root, bounded, kind

Schema = Mapping[str, Any]

MAX_DEPTH = 8
"""Optional fields, nullable values and list items end here, so that recursive schemas end."""

MAX_VARIANTS = 200
_LIMITS = re.compile(r"\{(?:\w+: [^{}]*)\}\s*$")
_FOUND_IN_TEXT = 20
"""Matches of a pattern in the source that are tried."""

_NAMES_ANOTHER = re.compile(r"\bname of\b.*\bas given\b", re.IGNORECASE)

Place = tuple[int, int]
"""Index and length of the list that a value is in."""


class Filler:
    """Fills one schema from one reading."""

    def __init__(self, root: Schema, reading: Reading) -> None:
        self._root = Root(root)
        self._reading = reading

    def fill(self) -> Any:
        """Return a value that obeys the schema."""
        return self._value(self._root.schema, "", 0, (0, 1))

    def _value(self, schema: Any, name: str, depth: int, place: Place) -> Any:
        if schema is True or schema == {}:
            return fields.text_for(self._reading, name, "", place)
        schema = self._root.resolved(schema)
        description = str(schema.get("description", ""))
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._choice(schema["enum"], name, description)
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self._option(schema, options, name, depth, place)
        match kind(schema, prefer_null=depth >= MAX_DEPTH):
            case "object":
                value: Any = self._object(schema, depth, place)
            case "array":
                value = self._array(schema, name, depth)
            case "boolean":
                value = fields.truth(self._reading, name, description)
            case "integer" | "number" as number:
                limits = {**cues.limits(description), **schema}
                bounds = (limits.get("minimum"), limits.get("maximum"))
                value = fields.number(self._reading, name, description, bounds)
                value = bounded(value, limits, whole=number == "integer")
            case "string":
                value = self._string(schema, name, place)
            case _:
                value = None
        return value

    def _choice(self, values: list[Any], name: str, description: str) -> Any:
        """Return one value of an `enum`."""
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            target = fields.number(self._reading, name, description, (min(values), max(values)))
            return min(values, key=lambda v: abs(v - target))
        by_label = {str(value): value for value in values}
        return by_label[
            fields.choose(self._reading, name, description, dict.fromkeys(by_label, "")).label
        ]

    def _option(
        self, schema: Schema, options: list[Any], name: str, depth: int, place: Place
    ) -> Any:
        """Return a value of one of the alternatives."""
        resolved = [self._root.resolved(option) for option in options]
        description = str(schema.get("description", ""))
        if all("const" in option for option in resolved):
            labels = {str(o["const"]): str(o.get("description", "")) for o in resolved}
            label = fields.choose(self._reading, name, description, labels).label
            return next(o["const"] for o in resolved if str(o["const"]) == label)
        rest = [option for option in resolved if option.get("type") != "null"]
        # A citation or a quote of nothing is null.
        absent = (
            fields.kind_of(name, description) in ("citation", "quote")
            and not self._reading.citations()
        )
        if len(rest) < len(resolved) and (not rest or depth >= MAX_DEPTH or absent):
            return None
        inherited = ("properties", "required", "description", "title")
        outer = {key: schema[key] for key in inherited if key in schema}
        return self._value({**outer, **rest[0]}, name, depth, place)

    def _object(self, schema: Schema, depth: int, place: Place) -> dict[str, Any]:
        required = schema.get("required", ())
        properties = {**dict.fromkeys(required, True), **schema.get("properties", {})}
        return {
            name: self._value(inner, name, depth + 1, place)
            for name, inner in properties.items()
            if name in required or depth < MAX_DEPTH
        }

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        description = str(schema.get("description", ""))
        limits = {**cues.limits(description), **schema}
        least, most = limits.get("minItems", 0), limits.get("maxItems")
        items = schema.get("items")
        item = self._root.resolved(items if isinstance(items, Mapping) else {})
        count = max(least, fields.amount(self._reading, name, description, most))
        if depth >= MAX_DEPTH:
            count = least
        found = self._items(item, name, description, count, depth)
        whole = len(self._reading.named) if _name_of_another(item) else count
        found = found[: whole if most is None else most]
        unique = bool(schema.get("uniqueItems"))
        if unique:
            found = [value for i, value in enumerate(found) if value not in found[:i]]
        while len(found) < least:
            place = (len(found), len(found) + 1)
            value = self._value(item or {"type": "string"}, name, depth + 1, place)
            variants = self._variants(value, item) if unique else ()
            found.append(next((other for other in variants if other not in found), value))
        return found

    def _items(
        self, item: dict[str, Any], name: str, description: str, count: int, depth: int
    ) -> list[Any]:
        if key := _name_of_another(item):
            named = self._reading.named
            inner = {**item, "description": item.get("description") or description}
            values = [
                self._value(inner, name, depth + 1, (i, len(named))) for i in range(len(named))
            ]
            if named and all(isinstance(value, dict) for value in values):
                return [{**value, key: given} for value, given in zip(values, named, strict=True)]
        if "enum" in item or "const" in item:
            return self._labels(item, name, description, count)
        about = _without_limits(description)
        found = fields.texts_for(self._reading, name, about, count)
        if item.get("type") == "string" and not item.keys() & {"format", "pattern"}:
            return [self._fit(text, item) for text in found]
        inner = {**item, "description": item.get("description") or about}
        return [self._value(inner, name, depth + 1, (i, len(found))) for i in range(len(found))]

    def _labels(self, item: dict[str, Any], name: str, description: str, count: int) -> list[Any]:
        """Return each value of an `enum` that the text supports."""
        values = {str(value): value for value in item.get("enum", [item.get("const")])}
        if fields.kind_of(name, description) == "citation":
            return [values[cited] for cited in self._reading.citations() if cited in values][:count]
        about = f"{description} {item.get('description', '')}"
        scores = fields.choose(self._reading, name, about, dict.fromkeys(values, "")).scores
        best = max(scores.values(), default=0.0)
        labels = [label for label, score in scores.items() if score > 0 and score >= best * 0.6]
        return [values[label] for label in sorted(labels, key=lambda x: -scores[x])][:count]

    def _variants(self, value: Any, item: dict[str, Any]) -> Iterator[Any]:
        """Yield a value and others of its kind, for lists of unique items."""
        yield value
        yield from item.get("enum", ())
        for number in range(1, MAX_VARIANTS):
            if isinstance(value, bool):
                yield not value
            elif isinstance(value, str):
                yield self._fit(f"{value[: max(0, len(value) - 4)]} {number}", item)
            elif isinstance(value, int | float):
                for offset in (number, -number):
                    other = value + offset * item.get("multipleOf", 1)
                    yield bounded(other, item, whole=isinstance(value, int))

    def _string(self, schema: Schema, name: str, place: Place) -> str:
        description = str(schema.get("description", ""))
        source = self._reading.source
        if schema.get("format") in FORMATS:
            pattern, default = FORMATS[schema["format"]]
            found = re.search(pattern, source)
            return found[0] if found else default
        value = fields.text_for(self._reading, name, _without_limits(description), place)
        value = self._fit(value, schema)
        if "pattern" not in schema:
            return value
        matches = re.finditer(schema["pattern"].strip("^$"), source)
        found_in_text = (match[0] for match, _ in zip(matches, range(_FOUND_IN_TEXT), strict=False))
        chosen: str = self._root.first_valid([value, *found_in_text], schema)
        return chosen

    def _fit(self, value: str, schema: Schema) -> str:
        """Return the text within its length limits; a short one continues with the source."""
        limits = {**cues.limits(str(schema.get("description", ""))), **schema}
        least, most = limits.get("minLength", 0), limits.get("maxLength")
        if len(value) < least:
            value = f"{value} {' '.join(self._reading.source.split())}".strip()[: max(least, 200)]
            value = value.ljust(least, ".")
        if most is not None and len(value) > most:
            cut = texts.clip(value, most)
            value = cut if len(cut) >= least else value[:most]
        return value


def _name_of_another(item: Schema) -> str:
    """Return the property of a list's items that names one of the objects in the prompt."""
    for name, inner in item.get("properties", {}).items():
        about = str(inner.get("description", "")) if isinstance(inner, Mapping) else ""
        if _NAMES_ANOTHER.search(about):
            return str(name)
    return ""


def _without_limits(description: str) -> str:
    return _LIMITS.sub("", description).strip()
