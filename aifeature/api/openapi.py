"""What Ninja cannot know for the OpenAPI document: the problems, the headers, the raw body."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from ninja.openapi.schema import OpenAPISchema

from aifeature.api.problems import MEDIA_TYPE
from aifeature.api.schemas import Problem, SubmissionBody

_REF: Final = "#/components/schemas/{model}"
_INTEGER: Final = {"type": "integer", "minimum": 0}
_TEXT: Final = {"type": "string"}

RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait before the next try.", "schema": _INTEGER}
}
LOCATION: Final = {"Location": {"description": "The job's own address.", "schema": _TEXT}}
REPLAYED: Final = {
    "Idempotency-Replayed": {
        "description": "`true` when this key had been used before for the same request.",
        "schema": _TEXT,
    }
}
RATE: Final = {
    "RateLimit-Policy": {
        "description": "How many requests you may send (`q`) in how many seconds (`w`).",
        "schema": _TEXT,
    },
    "RateLimit": {
        "description": "How many are left (`r`), and seconds until all are again (`t`).",
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
    400: "`bad_request`: the request contradicts itself.",
    401: "`unauthenticated`: no valid session or token.",
    408: "`request_timeout`: the request did not arrive in time.",
    413: "`input_too_large`: more bytes than anything here takes.",
    429: "`rate_limited`: you send too many requests. `Retry-After` says when to come back.",
    500: "`internal_error`: a defect of ours; it has been logged.",
    503: "`database_unavailable`: try again in a moment.",
}
"""Problems every operation may answer with."""

CSRF: Final[Mapping[int, str]] = {
    403: "`csrf_failed`: a session was used without its CSRF token; `token_scope`: the token only"
    " reads, or is for other features."
}
"""The problem of every operation that changes something."""


def _link(operation: str, description: str, **parameters: str) -> dict[str, Any]:
    return {"operationId": operation, "description": description, "parameters": parameters}


_ID: Final = "$response.body#/id"

OF_A_JOB: Final[Mapping[str, Any]] = {
    "get": _link("get_job", "The job, at once or when it is done.", job_id=_ID),
    "events": _link("job_events", "Its live events.", job_id=_ID),
    "cancel": _link("cancel_job", "Cancel it.", job_id=_ID),
}
"""Links of an answer that is a job: the operations that take its id."""

OF_FEATURES: Final[Mapping[str, Any]] = {
    "submit": _link("submit_job", "Submit to the first.", slug="$response.body#/items/0/slug"),
}
"""Links of the list of features."""


def documented(
    *more: Mapping[int, str],
    headers: Mapping[int, Mapping[str, Any]] | None = None,
    links: Mapping[int, Mapping[str, Any]] | None = None,
    body: bool = False,
    event_stream: bool = False,
) -> dict[str, Any]:
    """An operation's `openapi_extra`.

    Args:
        more: What its problems mean, by status; those of EVERYWHERE are added.
        headers: Headers of its answers, by status, beside those every such status has.
        links: Where to go from its answers, by status.
        body: Whether it reads a submission.
        event_stream: Whether it answers with server-sent events.
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
        responses[204] = {"description": "You have the last event: do not connect again."}
    extra: dict[str, Any] = {"responses": responses}
    if body:
        schema = {"$ref": _REF.format(model=SubmissionBody.__name__)}
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


def complete(schema: OpenAPISchema) -> None:
    """Add the schemas that only `documented` points to."""
    for model in (Problem, SubmissionBody):
        described = model.model_json_schema(ref_template=_REF)
        schema["components"]["schemas"].update(described.pop("$defs", {}))
        schema["components"]["schemas"][model.__name__] = described
