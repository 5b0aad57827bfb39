"""Moderation of answers: the text for the feature `moderation`, and the finding of its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from aifeature.guarding import MAX_EVIDENCE, Finding, Guard

SLUG: Final = "moderation"

SAFE: Final = "none"
"""The category of a text that may be shown."""

_IDS: Final = frozenset({"id", "section", "slug"})
"""Names of fields with an id."""

Schema = Mapping[str, Any]


def verdict(result: Mapping[str, Any]) -> Finding | None:
    """Return what is unsafe, from an output of the feature `moderation`; None if nothing is.

    An output that contradicts itself is unsafe. Raises KeyError if it lacks a field.

    >>> verdict({"category": "none", "unsafe": False, "reason": "It answers a question."})
    """
    category, unsafe = str(result["category"]), result["unsafe"]
    if not unsafe and category == SAFE:
        return None
    return Finding(Guard.MODERATION, category, str(result["reason"])[:MAX_EVIDENCE])


def text_of(result: Mapping[str, Any], schema: Schema) -> str:
    """Return the text of an answer: its free texts in order, with empty lines between them.

    Labels of closed lists and ids are left out, as users cannot read anything else in them. A text
    for which the schema has no place counts. Empty: there is nothing to moderate.

    Args:
        result: A valid output of a feature.
        schema: The JSON Schema of the feature's output.
    """
    return "\n\n".join(_texts(result, schema, schema, ""))


def _texts(value: Any, schema: Schema, root: Schema, name: str) -> Iterator[str]:
    options = list(_options(schema, root))
    if isinstance(value, Mapping):
        for key, inner in value.items():
            own = [each["properties"][key] for each in options if key in each.get("properties", {})]
            if not own:
                yield str(key)
            yield from _texts(inner, {"anyOf": own}, root, str(key))
    elif isinstance(value, list):
        items = [each["items"] for each in options if isinstance(each.get("items"), Mapping)]
        for inner in value:
            yield from _texts(inner, {"anyOf": items}, root, name)
    elif isinstance(value, str) and value.strip() and not _is_label(value, options, name):
        yield value.strip()


def _options(schema: Schema, root: Schema) -> Iterator[Schema]:
    """Yield a schema without references, and each of its alternatives."""
    if reference := schema.get("$ref"):
        *_, definition = str(reference).split("/")
        yield from _options(root.get("$defs", {}).get(definition, {}), root)
        return
    yield schema
    for keyword in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(keyword, ()):
            yield from _options(each, root)


def _is_label(value: str, options: list[Schema], name: str) -> bool:
    """Return whether a text is from a closed list, or an id: a single word in such a field."""
    if any(value in each.get("enum", ()) or value == each.get("const") for each in options):
        return True
    is_id = name in _IDS or name.endswith("_id") or any("pattern" in each for each in options)
    return is_id and len(value.split()) == 1
