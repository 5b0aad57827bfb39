"""An input on its way from JSON to its model, to the job's row, back, and into the prompt."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from pydantic import BaseModel

Model = TypeVar("Model", bound=BaseModel)


def read(model: type[Model], value: Any) -> Model:
    """Return a JSON value as the model reads it.

    It is read as JSON, not as Python values: a strict model takes a date or a set from JSON only.

    Raises:
        ValidationError: it does not fit.
    """
    return model.model_validate_json(json.dumps(value))


def dumped(value: BaseModel) -> dict[str, Any]:
    """Return an input as its row keeps it: JSON values that `read` takes again."""
    found: dict[str, Any] = value.model_dump(mode="json", by_alias=True, round_trip=True)
    return found


def for_prompt(value: BaseModel) -> dict[str, str]:
    """Return the text of each field for a prompt: a text as it is, everything else as JSON."""
    names = set(type(value).model_fields)
    found = value.model_dump(mode="json", include=names, by_alias=False)
    return {name: _text(part) for name, part in found.items()}


def _text(part: Any) -> str:
    return part if isinstance(part, str) else json.dumps(part, ensure_ascii=False, allow_nan=False)
