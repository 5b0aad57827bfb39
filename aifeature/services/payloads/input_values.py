"""Conversion of inputs: from JSON to the model, to the job's row and back, and into the prompt."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)


def read(model: type[Model], value: Any) -> Model:
    """Return a JSON value as an instance of the model. Raises ValidationError.

    Parses JSON, not Python values: a strict model accepts a date or a set only from JSON.
    """
    return model.model_validate_json(json.dumps(value))


def dumped(value: BaseModel) -> dict[str, Any]:
    """Return an input as JSON values for its row, which `read` accepts again."""
    found: dict[str, Any] = value.model_dump(mode="json", by_alias=True, round_trip=True)
    return found


def for_prompt(value: BaseModel) -> dict[str, str]:
    """Return each field as text for a prompt: strings unchanged, other values as JSON."""
    names = set(type(value).model_fields)
    found = value.model_dump(mode="json", include=names, by_alias=False)
    return {name: _text(part) for name, part in found.items()}


def _text(part: Any) -> str:
    return part if isinstance(part, str) else json.dumps(part, ensure_ascii=False, allow_nan=False)
