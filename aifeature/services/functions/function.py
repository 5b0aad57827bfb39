"""One call of a feature's function: from JSON texts to plain values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Literal

from pydantic import BaseModel

from aifeature.spec import Feature

Name = Literal["check", "approval", "plain"]

MAX_PROBLEMS = 10
"""Most problems shown to a model. More would cost more than they help."""


def result_of(feature: Feature, name: Name, given: str, answer: str) -> Any:
    """Call the feature's function `name`.

    Args:
        feature: It has this function.
        name: The function.
        given: The input, as JSON.
        answer: The output, as JSON that fits the output model. Not used by `plain`.

    Returns:
        The problems found by `check`, the reason of `approval`, or the JSON of the plain output.

    Raises:
        TypeError: the function returned something else. It may raise any other error.
    """
    function: Callable[..., Any] = getattr(feature, name)
    value = feature.input_model.model_validate_json(given)
    if name == "plain":
        return _json(function(value), feature.output_model)
    found = function(value, feature.output_model.model_validate_json(answer))
    return _problems(found) if name == "check" else _reason(found)


def _problems(found: Iterable[str]) -> list[str]:
    if isinstance(found, str):  # each of its characters would be a problem
        raise TypeError("the problems must be a list of texts")
    return [str(problem) for problem in islice(found, MAX_PROBLEMS)]


def _reason(found: Any) -> str:
    if not isinstance(found, str):  # such as False, from which nothing could be concluded
        raise TypeError(f"the reason must be a text, and is of type {type(found).__name__}")
    return found


def _json(found: Any, model: type[BaseModel]) -> str:
    if not isinstance(found, model):
        raise TypeError(f"the answer must be of type {model.__name__}")
    return json.dumps(found.model_dump(mode="json", by_alias=True))
