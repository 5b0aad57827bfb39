"""Validation of inputs: the sentences name fields of the model and never quote the input."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from aifeature.services.jobs.refusals import InvalidInput
from aifeature.services.payloads import input_text, input_values, json_values
from aifeature.spec import Feature

NOTHING_TO_READ: Final = input_text.NOTHING_TO_READ
DOES_NOT_FIT: Final = "The input does not fit this feature."


def validated(feature: Feature, data: Any) -> dict[str, Any]:
    """Return the input as it is stored. Raises InvalidInput."""
    model = feature.input_model
    try:
        value = input_values.dumped(input_values.read(model, data))
    except ValidationError as error:
        problems = [
            {"field": input_text.known_path(model, problem["loc"]), "message": _message(problem)}
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidInput(DOES_NOT_FIT, errors=problems) from None
    if odd := json_values.lost_digits(data, value):
        raise refused(feature, odd)
    if empty := input_text.without_text(model, value):
        problems = [{"field": name, "message": NOTHING_TO_READ} for name in empty]
        raise InvalidInput(DOES_NOT_FIT, errors=problems)
    return value


def refused(feature: Feature, odd: json_values.Problem) -> InvalidInput:
    field = input_text.known_path(feature.input_model, odd.path)
    return InvalidInput(DOES_NOT_FIT, errors=[{"field": field, "message": odd.message}])


def _message(problem: ErrorDetails) -> str:
    """Return the problem without the input. Pydantic quotes the tag of a union."""
    if problem["type"] == "union_tag_invalid":
        return f"Input tag should be one of {problem['ctx']['expected_tags']}"
    return problem["msg"]
