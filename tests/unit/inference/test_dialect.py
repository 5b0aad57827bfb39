"""Which schemas the provider carries, over generated models."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from pydantic import BaseModel, ConfigDict, RootModel

from tests import made_models
from tests.made_models import Kind
from workers.inference import dialect
from workers.inference.client import wire_schema


@given(made_models.fields(made_models.carried_kinds))
def test_a_schema_without_problems_is_sent_with_all_its_fields(fields: dict[str, Kind]) -> None:
    schema = made_models.model(fields).model_json_schema()
    assert dialect.problems(schema) == []
    sent = wire_schema(schema)
    assert _objects(sent) == _objects(schema)
    assert _open_places(sent) == []


@given(made_models.fields(made_models.all_kinds))
def test_a_field_that_allows_any_value_is_named(fields: dict[str, Kind]) -> None:
    found = dialect.problems(made_models.model(fields).model_json_schema())
    assert bool(found) == (not all(kind.carried for kind in fields.values()))
    for name, kind in fields.items():
        named = any(problem.startswith((f"{name} ", f"{name}.", f"{name}[")) for problem in found)
        assert named == (not kind.carried), (name, found)


def _objects(schema: Any) -> list[list[str]]:
    """The names of the fields of each object, in a schema of any form."""
    if isinstance(schema, list):
        return [names for part in schema for names in _objects(part)]
    if not isinstance(schema, dict):
        return []
    own = [sorted(schema["properties"])] if schema.get("type") == "object" else []
    return sorted(own + [names for part in schema.values() for names in _objects(part)])


def _open_places(schema: Any) -> list[Any]:
    """Parts of a schema as it is sent that allow any value, or only an empty object or list."""
    if isinstance(schema, list):
        return [place for part in schema for place in _open_places(part)]
    if not isinstance(schema, dict):
        return []
    is_open = schema.get("type") == "array" and "items" not in schema
    is_empty = schema.get("type") == "object" and not schema["properties"]
    inner = [place for part in schema.values() for place in _open_places(part)]
    return inner + ([schema] if is_open or is_empty else [])


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (RootModel[list[int]].model_json_schema(), "not an object"),
        (Open.model_json_schema(), "further keys"),
        ({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}, "a has the type"),
        ({"type": "object", "properties": {"a": {"enum": [[1]]}}}, "a allows lists"),
        ({"type": "object", "properties": {"a": {"enum": []}}}, "a has an empty list of values"),
        ({"type": "object", "properties": {"a": {"$ref": "https://x/y"}}}, "a refers to"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/No"}}}, "a refers to"),
        ({"type": "object", "properties": {"a": {"not": STRING}}}, "a takes any value"),
        ({"type": "object", "properties": {"a": True}}, "a takes any value"),
        ({"type": "object", "patternProperties": {"^x": STRING}}, "keys of any name"),
        ({"type": "object", "properties": {"a": {"anyOf": []}}}, "a has an empty anyOf"),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, "recursive"),
        (
            {
                "type": "object",
                "properties": {"a": {"allOf": [{"$ref": "#/$defs/B"}]}},
                "$defs": {"B": {"type": "object", "properties": {}}},
            },
            "combines",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_rare_schema_of_pydantic_is_named_too(schema: dict[str, Any], words: str) -> None:
    (found,) = dialect.problems(schema)
    assert words in found


def test_a_part_that_is_used_twice_is_looked_at_where_it_stands() -> None:
    class Part(BaseModel):
        any: Any

    class Whole(BaseModel):
        first: Part
        second: list[Part]

    assert dialect.problems(Whole.model_json_schema()) == [
        "first.any takes any value",
        "second[].any takes any value",
    ]
