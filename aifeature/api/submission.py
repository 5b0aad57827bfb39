"""Parsing of a submission's body. The service that accepts it validates the input."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from aifeature.api.refusals import InvalidJson, UnsupportedMediaType
from aifeature.services.jobs.refusals import InvalidInput
from aifeature.services.payloads import json_values


def read_input(request: HttpRequest) -> dict[str, Any]:
    """Return the `input` object of `{"input": {...}}`. It may have values that cannot be stored.

    Raises:
        UnsupportedMediaType: the body is not declared as JSON.
        RequestDataTooBig: it is larger than DATA_UPLOAD_MAX_MEMORY_SIZE and was not read.
        InvalidJson: it is not JSON.
        InvalidInput: it has another shape, is nested too deeply, or repeats a name in an object.
    """
    check_media_type(request)
    body = parsed(request.body)
    if not isinstance(body, dict) or set(body) != {"input"}:
        raise _wrong("body", 'The body must be an object with "input" and nothing else.')
    value = body["input"]
    if not isinstance(value, dict):
        raise _wrong("input", "This must be an object.")
    return value


def check_media_type(request: HttpRequest) -> None:
    """Raise UnsupportedMediaType if the body is not declared as JSON."""
    if request.content_type != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with Content-Type: application/json.")


def parsed(raw: bytes) -> Any:
    """Return the values of a JSON document. Raises InvalidJson or InvalidInput, as `read_input`."""
    try:
        return json_values.parse(raw)
    except json_values.TooDeepError as error:
        raise _wrong("input", str(error)) from None
    except json_values.TwiceError as error:
        raise _wrong("body", str(error)) from None
    except json_values.NotJsonError:
        raise InvalidJson("The body is not valid JSON.") from None


def _wrong(field: str, message: str) -> InvalidInput:
    return InvalidInput(
        "The request body does not have the expected shape.",
        errors=[{"field": field, "message": message}],
    )
