"""Errors of ours for answers of the provider, mapped as the client maps them."""

from __future__ import annotations

import httpx2
from anthropic import _error_classes  # noqa: TID251 - the SDK is what is tested

from workers.inference import failures
from workers.inference.errors import InferenceError


def mapped(status: int, body: object) -> InferenceError:
    """Map an error answer through a real error of the SDK."""
    request = httpx2.Request("POST", "http://localhost")
    error = _error_classes.make_status_error(
        "m", body=body, response=httpx2.Response(status, request=request)
    )
    return failures.from_status(
        error.status_code,
        headers=error.response.headers,
        error_type=error.type if isinstance(error.type, str) else None,
        error_code=error.error_code,
        from_provider=failures.is_provider_error(error.body),
        facts={},
        message=error.api_message,
    )
