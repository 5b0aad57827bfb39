"""Errors of ours for answers of the provider, mapped by the client."""

from __future__ import annotations

import httpx2
from anthropic import _error_classes  # noqa: TID251 - the SDK is what is tested

from workers.inference.client import status_failure
from workers.inference.errors import InferenceError


def mapped(status: int, body: object) -> InferenceError:
    """Map an error answer through a real error of the SDK."""
    request = httpx2.Request("POST", "http://localhost")
    error = _error_classes.make_status_error(
        "m", body=body, response=httpx2.Response(status, request=request)
    )
    return status_failure(error, {})
