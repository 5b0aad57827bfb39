"""The links of the OpenAPI document are enough to submit, read and cancel a job."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.integration.api.api_jobs import DOCUMENT, bearer


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/v1/openapi.json").json()
    return found


def operation(document: dict[str, Any], wanted: str) -> tuple[str, str, dict[str, Any]]:
    """Method, path and description of an operation."""
    return next(
        (method, path, found)
        for path, methods in document["paths"].items()
        for method, found in methods.items()
        if found["operationId"] == wanted
    )


def value(expression: str, body: Any) -> Any:
    """Return the value of a link's expression."""
    start, _, pointer = expression.partition("#/")
    assert start == "$response.body"
    for part in pointer.split("/"):
        body = body[int(part) if isinstance(body, list) else part]
    return body


def call(client: Client, document: dict[str, Any], wanted: str, **parameters: str) -> Any:
    method, path, found = operation(document, wanted)
    sent = {"input": DOCUMENT} if "requestBody" in found else {}
    body = {"data": sent, "content_type": "application/json"} if sent else {}
    return getattr(client, method)(path.format(**parameters), **body)


def test_links_lead_through_a_job(ada: User, opened: None, document: dict[str, Any]) -> None:
    client = bearer(ada)
    followed = []
    answer, here = call(client, document, "list_features"), "list_features"
    for name in ("submit", "get", "cancel", "get", "events"):
        responses = operation(document, here)[2]["responses"]
        link = responses[str(answer.status_code)]["links"][name]
        body = answer.json()
        given = {key: value(expression, body) for key, expression in link["parameters"].items()}
        here = link["operationId"]
        places = {place["name"] for place in operation(document, here)[2]["parameters"]}
        assert set(given) <= places
        answer = call(client, document, here, **given)
        followed.append((here, answer.status_code))
    assert followed == [
        ("submit_job", 202),
        ("get_job", 200),
        ("cancel_job", 200),
        ("get_job", 200),
        ("job_events", 200),
    ]
