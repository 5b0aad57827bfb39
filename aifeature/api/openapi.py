"""Additions to Ninja's OpenAPI document: the problems, the headers, the raw body."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final

from ninja.openapi.schema import OpenAPISchema
from pydantic import BaseModel

from aifeature.api.problems import MEDIA_TYPE
from aifeature.api.schemas import (
    FeedbackBody,
    OutcomeBody,
    Problem,
    SignalBody,
    SubmissionBody,
    UserOutcomeBody,
)

BODIES: Final = (SubmissionBody, FeedbackBody, SignalBody, OutcomeBody, UserOutcomeBody)
"""Schemas of bodies, which the operations read themselves."""

_REF: Final = "#/components/schemas/{model}"
_INTEGER: Final = {"type": "integer", "minimum": 0}
_TEXT: Final = {"type": "string"}

RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait before the next try.", "schema": _INTEGER}
}
LOCATION: Final = {"Location": {"description": "The URL of the job.", "schema": _TEXT}}
REPLAYED: Final = {
    "Idempotency-Replayed": {
        "description": "`true` if this key was already used for the same request.",
        "schema": _TEXT,
    }
}
RATE: Final = {
    "RateLimit-Policy": {
        "description": "Requests that you may send (`q`) within a window of seconds (`w`).",
        "schema": _TEXT,
    },
    "RateLimit": {
        "description": "Requests left (`r`), and seconds until all are available again (`t`).",
        "schema": _TEXT,
    },
}
_CHALLENGE: Final = {"WWW-Authenticate": {"description": "How to authenticate.", "schema": _TEXT}}
_HEADERS: Final[Mapping[int, Mapping[str, Any]]] = {
    401: _CHALLENGE,
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}

EVERYWHERE: Final[Mapping[int, str]] = {
    400: "`bad_request`: the request is malformed.",
    401: "`unauthenticated`: no valid session or token.",
    408: "`request_timeout`: the request did not arrive in time.",
    413: "`input_too_large`: the body exceeds the limit of the whole API.",
    429: "`rate_limited`: you sent too many requests. Wait `Retry-After` seconds.",
    500: "`internal_error`: a fault on our side. It has been logged.",
    503: "`database_unavailable`: try again in a moment; `interrupted`: this server restarted, and"
    " the request may have been carried out.",
}
"""Problems that every operation may return."""

CSRF: Final[Mapping[int, str]] = {
    403: "`csrf_failed`: a session was used without its CSRF token; `token_scope`: the token is"
    " read-only, or is for other features."
}
"""Problems of every operation that changes data."""


def _link(operation: str, description: str, **parameters: str) -> dict[str, Any]:
    return {"operationId": operation, "description": description, "parameters": parameters}


_ID: Final = "$response.body#/id"

OF_A_JOB: Final[Mapping[str, Any]] = {
    "get": _link("get_job", "Get the job, immediately or when it is done.", job_id=_ID),
    "events": _link("job_events", "Stream its live events.", job_id=_ID),
    "cancel": _link("cancel_job", "Cancel it.", job_id=_ID),
    "feedback": _link("rate_job", "Rate it.", job_id=_ID),
}
"""Links of a response with a job: the operations that take its id."""

OF_FEATURES: Final[Mapping[str, Any]] = {
    "submit": _link("submit_job", "Submit a job.", slug="$response.body#/items/0/slug"),
}
"""Links of the list of features."""


def documented(
    *more: Mapping[int, str],
    headers: Mapping[int, Mapping[str, Any]] | None = None,
    links: Mapping[int, Mapping[str, Any]] | None = None,
    body: type[BaseModel] | None = None,
    event_stream: bool = False,
) -> dict[str, Any]:
    """Return an operation's `openapi_extra`.

    Args:
        more: Meaning of its problems by status, in addition to EVERYWHERE.
        headers: Response headers by status, in addition to those of each such status.
        links: Response links by status.
        body: The schema of the request body, one of BODIES.
        event_stream: Whether the response is a stream of server-sent events.
    """
    problems: dict[int, str] = dict(EVERYWHERE)
    for mapping in more:
        problems.update(mapping)
    responses: dict[int, Any] = {s: _problem(s, text) for s, text in sorted(problems.items())}
    for status, names in (headers or {}).items():
        responses.setdefault(status, {}).setdefault("headers", {}).update(names)
    for status, targets in (links or {}).items():
        responses.setdefault(status, {})["links"] = dict(targets)
    if event_stream:
        content = {"text/event-stream": {"schema": _TEXT}}
        responses[200] = {"description": "The events.", "content": content}
        responses[204] = {"description": "You have the last event. Do not reconnect."}
    extra: dict[str, Any] = {"responses": responses}
    if body is not None:
        schema = {"$ref": _REF.format(model=body.__name__)}
        extra["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    return extra


def _problem(status: int, meaning: str) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": f"{HTTPStatus(status).phrase}. {meaning}",
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model=Problem.__name__)}}},
    }
    if headers := _HEADERS.get(status):
        response["headers"] = dict(headers)
    return response


def warn_of_synthetic_data(schema: OpenAPISchema, before: datetime) -> None:
    """Add to the description that figures before a moment are made up."""
    about = schema["info"]
    about["description"] = (
        f"**Synthetic data:** the requests, users and costs before {before:%-d %B %Y, %H:%M} UTC"
        f" are made up.\n\n{about.get('description') or ''}"
    )


def complete(schema: OpenAPISchema) -> None:
    """Add the schemas that only `documented` refers to."""
    for model in (Problem, *BODIES):
        described = model.model_json_schema(ref_template=_REF)
        schema["components"]["schemas"].update(described.pop("$defs", {}))
        schema["components"]["schemas"][model.__name__] = described
