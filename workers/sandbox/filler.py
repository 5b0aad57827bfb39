"""Fills any JSON Schema: walks it, and asks `fields` what belongs into each place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workers.sandbox import cues, fields
from workers.sandbox import text as texts
from workers.sandbox.schema import FORMATS, Schema, bounded, kind, resolved

if TYPE_CHECKING:
    from workers.sandbox.reading import Reading

MAX_DEPTH = 8
"""Optional fields, nullable values and list items stop here, so that recursive schemas end."""

_MISSING = object()

Place = tuple[int, int]
"""Index and length of the list that a value stands in."""


class Filler:
    """Fills one schema from one reading."""

    def __init__(self, root: Schema, reading: Reading) -> None:
        self._root = root
        self._reading = reading

    def fill(self) -> Any:
        """A value that obeys the schema."""
        return self._value(self._root, "", 0, (0, 1))

    def _value(self, schema: Any, name: str, depth: int, place: Place) -> Any:
        if schema is True or schema == {}:
            return fields.text_for(self._reading, name, "", place)
        schema = self._resolved(schema)
        description = str(schema.get("description", ""))
        closed = self._closed(schema, name, description)
        if closed is not _MISSING:
            return closed
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return self._option(schema, options, name, depth, place)
        return self._open(schema, name, depth, place)

    def _open(self, schema: Schema, name: str, depth: int, place: Place) -> Any:
        """A value of the schema's type."""
        description = str(schema.get("description", ""))
        value: Any = None
        match kind(schema, prefer_null=depth >= MAX_DEPTH):
            case "object":
                value = self._object(schema, depth, place)
            case "array":
                value = self._array(schema, name, description, depth)
            case "boolean":
                value = fields.truth(self._reading, name, description)
            case "integer":
                value = self._number(schema, name, description, whole=True)
            case "number":
                value = self._number(schema, name, description, whole=False)
            case "string":
                value = self._string(schema, name, description, place)
        return value

    def _resolved(self, schema: Schema) -> dict[str, Any]:
        return resolved(schema, self._root)

    def _closed(self, schema: Schema, name: str, description: str) -> Any:
        """The value of a `const` or `enum`, or nothing."""
        if "const" in schema:
            return schema["const"]
        values = schema.get("enum")
        if not values:
            return _MISSING
        by_label = {str(value): value for value in values}
        chosen = fields.choose(self._reading, description, dict.fromkeys(by_label, ""))
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            target = fields.number(self._reading, name, description, (min(values), max(values)))
            return min(values, key=lambda v: abs(v - target))
        return by_label[chosen.label]

    def _option(
        self, schema: Schema, options: list[Any], name: str, depth: int, place: Place
    ) -> Any:
        resolved = [self._resolved(option) for option in options]
        if all("const" in option for option in resolved):
            labels = {str(o["const"]): str(o.get("description", "")) for o in resolved}
            description = str(schema.get("description", ""))
            chosen = fields.choose(self._reading, description, labels).label
            return next(o["const"] for o in resolved if str(o["const"]) == chosen)
        nothing = [o for o in resolved if o.get("type") == "null"]
        rest = [o for o in resolved if o.get("type") != "null"]
        if nothing and (not rest or depth >= MAX_DEPTH or self._absent(schema, name)):
            return None
        outer = {k: schema[k] for k in ("description", "title") if k in schema}
        inherited = {k: v for k, v in schema.items() if k in ("properties", "required", "$defs")}
        return self._value({**inherited, **outer, **rest[0]}, name, depth, place)

    def _absent(self, schema: Schema, name: str) -> bool:
        """Whether a value that may be null has nothing to be filled from."""
        wanted = fields.kind_of(name, str(schema.get("description", "")))
        return wanted in ("citation", "quote") and not self._reading.citations()

    def _object(self, schema: Schema, depth: int, place: Place) -> dict[str, Any]:
        required = schema.get("required", ())
        properties = schema.get("properties", {})
        filled = {
            name: self._value(inner, name, depth + 1, place)
            for name, inner in properties.items()
            if name in required or depth < MAX_DEPTH
        }
        for name in required:
            if name not in filled:
                filled[name] = fields.text_for(self._reading, name, "", place)
        return filled

    def _array(self, schema: Schema, name: str, description: str, depth: int) -> list[Any]:
        told = cues.limits(description)
        least = schema.get("minItems", told.get("minItems", 0))
        most = schema.get("maxItems", told.get("maxItems"))
        item = self._resolved(
            schema.get("items", {}) if isinstance(schema.get("items"), Mapping) else {}
        )
        count = max(least, fields.amount(self._reading, name, description, most))
        if depth >= MAX_DEPTH:
            count = least
        found = self._items(item, name, description, count, depth)[
            : count if most is None else most
        ]
        if schema.get("uniqueItems"):
            found = [v for i, v in enumerate(found) if v not in found[:i]]
        while len(found) < least:
            found.append(self._another(schema, item, name, found, depth))
        return found

    def _items(
        self, item: dict[str, Any], name: str, description: str, count: int, depth: int
    ) -> list[Any]:
        if "enum" in item or "const" in item:
            return self._labels(item, name, description, count)
        told = _without_limits(description)
        found = fields.texts_for(self._reading, name, told, count)
        if item.get("type") == "string" and "format" not in item and "pattern" not in item:
            limits = {**cues.limits(str(item.get("description", ""))), **item}
            return [self._fit(text, limits) for text in found]
        inner = {**item, "description": item.get("description") or told}
        return [self._value(inner, name, depth + 1, (i, len(found))) for i in range(len(found))]

    def _labels(self, item: dict[str, Any], name: str, description: str, count: int) -> list[Any]:
        """Every label of a closed list that something speaks for."""
        values = {str(v): v for v in item.get("enum", [item.get("const")])}
        told = f"{description} {item.get('description', '')}"
        labels = dict.fromkeys(values, "")
        if fields.kind_of(name, description) == "citation":
            return [values[c] for c in self._reading.citations() if c in values][:count]
        scores = fields.choose(self._reading, told, labels).scores
        best = max(scores.values(), default=0.0)
        chosen = [label for label, score in scores.items() if score > 0 and score >= best * 0.6]
        return [values[label] for label in sorted(chosen, key=lambda x: -scores[x])][:count]

    def _another(
        self, schema: Schema, item: dict[str, Any], name: str, found: list[Any], depth: int
    ) -> Any:
        """One more item where too few were found; different from the others if it must be."""
        value = self._value(
            item or {"type": "string"}, name, depth + 1, (len(found), len(found) + 1)
        )
        if not schema.get("uniqueItems") or value not in found:
            return value
        if "enum" in item:
            return next((v for v in item["enum"] if v not in found), value)
        tries = 2 * len(found) + 3
        for step in range(1, tries):
            if isinstance(value, str):
                other: Any = self._fit(f"{value[: max(0, len(value) - 4)]} {step}", item)
            elif isinstance(value, bool):
                other = not value
            elif isinstance(value, int | float):
                offset = step * item.get("multipleOf", 1)
                other = bounded(
                    value + (offset if step % 2 else -offset), item, whole=isinstance(value, int)
                )
            else:
                return value
            if other not in found:
                return other
        return value

    def _number(self, schema: Schema, name: str, description: str, *, whole: bool) -> float:
        told = {**cues.limits(description), **schema}
        bounds = (told.get("minimum"), told.get("maximum"))
        return bounded(fields.number(self._reading, name, description, bounds), told, whole=whole)

    def _string(self, schema: Schema, name: str, description: str, place: Place) -> str:
        told = {**cues.limits(description), **schema}
        if schema.get("format") in FORMATS:
            pattern, default = FORMATS[schema["format"]]
            found = re.search(pattern, self._reading.source)
            return found[0] if found else default
        value = fields.text_for(self._reading, name, _without_limits(description), place)
        if "pattern" in schema and not re.search(schema["pattern"], value):
            found = re.search(schema["pattern"].strip("^$"), self._reading.source)
            value = found[0] if found else value
        return self._fit(value, told)

    def _fit(self, value: str, schema: Schema) -> str:
        """The text within its length limits; what is too short goes on with the source."""
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        if len(value) < least:
            value = f"{value} {' '.join(self._reading.source.split())}".strip()[: max(least, 200)]
            value = value.ljust(least, ".")
        if most is not None and len(value) > most:
            cut = texts.clip(value, most)
            value = cut if len(cut) >= least else value[:most]
        return value


def _without_limits(description: str) -> str:
    return re.sub(r"\{(?:\w+: [^{}]*)\}\s*$", "", description).strip()
