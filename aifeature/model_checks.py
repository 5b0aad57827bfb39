"""System checks of a feature's models: their values must pass through each layer unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.checks import CheckMessage, Error, register
from pydantic import BaseModel, RootModel

from aifeature import registry
from aifeature.spec import Feature
from workers.inference import dialect

INPUT = "input_model"
OUTPUT = "output_model"


@register("aifeature")
def check_models(**_: Any) -> list[CheckMessage]:
    """Check that the provider can return each output, and that stored inputs can be read again."""
    try:
        features = registry.all_features().values()
    except Exception:  # noqa: BLE001 (the code of a feature may raise anything)
        return []  # `system_checks.check_features` reports it
    return [problem for feature in features for problem in problems_of(feature)]


def problems_of(feature: Feature) -> Iterator[CheckMessage]:
    """Yield the problems of one feature's models."""
    where = f"aifeature/features/{feature.slug}/feature.py"
    for problem in dialect.problems(feature.output_schema):
        yield Error(
            f"The provider cannot carry the answers of feature {feature.slug}: {problem}.",
            hint=f"Name each part of {OUTPUT} as a field with a type of its own, in {where}. For"
            " keys of any name use a list of objects with a key and a value.",
            id="aifeature.E005",
        )
    for name, model in ((INPUT, feature.input_model), (OUTPUT, feature.output_model)):
        for problem in changed(model):
            yield Error(
                f"{name} of feature {feature.slug} does not keep its values: {problem}.",
                hint=f"Use one alias for both directions, and no excluded fields, in {where}.",
                id="aifeature.E006",
            )


def changed(model: type[BaseModel]) -> Iterator[str]:
    """Yield the fields that a model reads but does not write under the same name.

    A worker could not read such an input again, and such a result would not match its schema.
    """
    if issubclass(model, RootModel):
        yield f"{model.__name__} is a RootModel, and its values have no field names"
        return
    taken = _fields(model.model_json_schema(mode="validation"))
    given = _fields(model.model_json_schema(mode="serialization"))
    for name in sorted(taken.keys() & given.keys()):
        for field in sorted(taken[name] - given[name]):
            yield f"{name} reads the field {field!r} and does not write it"


def _fields(schema: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Return the field names of a model and of each model in it."""
    title = schema.get("title", "it")
    parts = {**schema.get("$defs", {}), title: schema}
    return {name: frozenset(part.get("properties", ())) for name, part in parts.items()}
