"""Check that the provider's structured output supports a JSON Schema.

The provider supports a subset of JSON Schema: closed objects with named properties, arrays with
one kind of item, plain types, enumerations, alternatives, and references without recursion. The
SDK moves limits that the provider does not enforce, such as `maxLength`, into descriptions. An
open schema fails at the call or is sent as a narrower one: a dictionary becomes an object that is
always empty.

Sources: "JSON Schema limitations" on the provider's page about structured outputs, and
`anthropic.transform_schema`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

TYPES: Final = ("object", "array", "string", "integer", "number", "boolean", "null")

_ALTERNATIVES: Final = ("anyOf", "oneOf", "allOf")
_HERE: Final = "the answer"


def problems(schema: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each unsupported part of a schema (pydantic, mode `validation`).

    Each sentence contains a path: `lines[].price` is `price` in each item of `lines`.
    """
    walk = _Walk(schema)
    found = list(dict.fromkeys(walk.at(schema, "", ())))
    root = walk.resolved(schema)
    if not found and (root is None or root.get("type") != "object"):
        found.append(f"{_HERE} is not an object: put its value into a named field of a model")
    return found


class _Walk:
    """A walk over a schema that visits a part once for each place that uses it."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._well: set[str] = set()
        """References whose targets have no problem."""

    def at(self, schema: Any, path: str, within: tuple[str, ...]) -> Iterator[str]:
        """Yield the problems at a path. `within` lists the references that lead there."""
        place = path or _HERE
        if not isinstance(schema, Mapping):
            yield f"{place} takes any value"
        elif "$ref" in schema:
            yield from self._reference(schema["$ref"], path, within)
        elif "enum" in schema or "const" in schema:
            yield from _choices(schema, place)
        elif kinds := [name for name in _ALTERNATIVES if name in schema]:
            for name in kinds:
                yield from self._alternatives(name, schema[name], path, within)
        elif schema.get("type") not in TYPES:
            yield f"{place} {_untyped(schema)}"
        elif schema["type"] == "object":
            yield from self._object(schema, path, within)
        elif schema["type"] == "array":
            yield from self._array(schema, path, within)

    def resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the schema behind references. None if one is broken or circular."""
        seen: set[str] = set()
        found: Any = schema
        while isinstance(found, Mapping) and "$ref" in found:
            if found["$ref"] in seen:
                return None
            seen.add(found["$ref"])
            found = self._target(found["$ref"])
        return found if isinstance(found, Mapping) else None

    def _reference(self, reference: Any, path: str, within: tuple[str, ...]) -> Iterator[str]:
        place = path or _HERE
        target = self._target(reference)
        if target is None:
            yield f"{place} refers to {reference!r}, which is not in the schema's $defs"
        elif reference in within:
            name = reference.rpartition("/")[2]
            yield f"{place} is a {name} within a {name}: recursive schemas are not supported"
        elif reference not in self._well:
            found = list(self.at(target, path, (*within, reference)))
            if not found:
                self._well.add(reference)
            yield from found

    def _target(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
            return None
        name = reference.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
        return self._root.get("$defs", {}).get(name)

    def _alternatives(
        self, name: str, options: Any, path: str, within: tuple[str, ...]
    ) -> Iterator[str]:
        place = path or _HERE
        if not isinstance(options, list) or not options:
            yield f"{place} has an empty {name}"
            return
        for option in options:
            if name == "allOf" and isinstance(option, Mapping) and "$ref" in option:
                yield f"{place} combines {option['$ref']!r} with allOf, which is not supported"
            else:
                yield from self.at(option, path, within)

    def _object(
        self, schema: Mapping[str, Any], path: str, within: tuple[str, ...]
    ) -> Iterator[str]:
        place = path or _HERE
        more = schema.get("additionalProperties", False)
        if more is not False or schema.get("patternProperties"):
            has_own = bool(schema.get("properties"))
            why = "further keys besides its fields" if has_own else "keys of any name"
            yield f"{place} allows {why}: only named fields are supported"
        for name, inner in schema.get("properties", {}).items():
            yield from self.at(inner, f"{path}.{name}" if path else name, within)

    def _array(
        self, schema: Mapping[str, Any], path: str, within: tuple[str, ...]
    ) -> Iterator[str]:
        place = path or _HERE
        if "prefixItems" in schema or isinstance(schema.get("items"), list):
            yield f"{place} has items whose kind depends on position: use named fields"
        elif "items" not in schema and schema.get("maxItems") != 0:
            yield f"{place} has items of any kind"
        elif "items" in schema:
            yield from self.at(schema["items"], f"{path}[]", within)


def _choices(schema: Mapping[str, Any], place: str) -> Iterator[str]:
    values = schema["enum"] if "enum" in schema else [schema["const"]]
    if not isinstance(values, list) or not values:
        yield f"{place} has an empty list of values"
    elif not all(value is None or isinstance(value, str | int | float) for value in values):
        yield f"{place} allows lists or objects as values: only plain values are supported"


def _untyped(schema: Mapping[str, Any]) -> str:
    if "type" not in schema:
        return "takes any value"
    return f"has the type {schema['type']!r}: use one of {', '.join(sorted(TYPES))}"
