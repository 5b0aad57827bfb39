"""Small JSON bodies with fixed fields, such as a rating."""

from __future__ import annotations

from typing import Final, TypeVar

from django.http import HttpRequest
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from aifeature.api import submission
from aifeature.services.jobs.refusals import InputTooLarge, InvalidInput

MAX_BYTES: Final = 32_768
"""Bytes of the largest body: 2,000 characters of a comment with twelve bytes each, and the rest."""

Body = TypeVar("Body", bound=BaseModel)


def read(request: HttpRequest, model: type[Body]) -> Body:
    """Return the request's body as this model. Its values are not converted.

    Raises:
        UnsupportedMediaType: the body is not declared as JSON.
        InputTooLarge: it is larger than MAX_BYTES.
        InvalidJson: it is not JSON.
        InvalidInput: it does not fit the model. The errors name known fields only.
    """
    submission.check_media_type(request)
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BYTES or len(request.body) > MAX_BYTES:
        raise InputTooLarge(
            f"The body has more than {MAX_BYTES:,} bytes. A comment has at most 2,000 characters."
        )
    values = submission.parsed(request.body)
    try:
        return model.model_validate(values, strict=True)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        raise InvalidInput(
            "The request body does not have the expected shape.",
            errors=[_described(model, problem) for problem in problems],
        ) from None


def _described(model: type[BaseModel], problem: ErrorDetails) -> dict[str, str]:
    field = str(problem["loc"][0]) if problem["loc"] else ""
    if field in model.model_fields:
        return {"field": field, "message": problem["msg"]}
    names = " and ".join(f'"{name}"' for name in model.model_fields)
    return {"field": "body", "message": f"The body must be an object with only {names}."}
