"""The OpenAPI document describes the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from jsonschema import Draft202012Validator

from tests.integration.api.api_jobs import JOB_FIELDS

EVERYWHERE = {"400", "401", "408", "413", "429", "500", "503"}
OPERATIONS = {
    ("get", "/api/v1/features"): {"200"},
    ("get", "/api/v1/usage"): {"200"},
    ("post", "/api/v1/features/{slug}/jobs"): {
        *("202", "400", "403", "404", "409", "413", "415", "422", "429")
    },
    ("get", "/api/v1/jobs"): {"200", "422"},
    ("get", "/api/v1/jobs/{job_id}"): {"200", "404", "422"},
    ("get", "/api/v1/jobs/{job_id}/events"): {"200", "204", "404", "429"},
    ("post", "/api/v1/jobs/{job_id}/cancel"): {"200", "403", "404"},
    ("post", "/api/v1/jobs/{job_id}/feedback"): {
        *("200", "400", "403", "404", "409", "413", "415", "422")
    },
    ("get", "/api/v1/jobs/{job_id}/feedback"): {"200", "404"},
    ("post", "/api/v1/jobs/{job_id}/signals"): {
        *("204", "400", "403", "404", "409", "413", "415", "422")
    },
    ("post", "/api/v1/jobs/{job_id}/outcomes"): {
        *("204", "400", "403", "404", "413", "415", "422")
    },
    ("post", "/api/v1/outcomes"): {"204", "400", "403", "413", "415", "422"},
}


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    response = client.get("/api/v1/openapi.json")
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def test_lists_exactly_these_operations_and_statuses(document: dict[str, Any]) -> None:
    found = {
        (method, path): set(operation["responses"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert found == {place: own | EVERYWHERE for place, own in OPERATIONS.items()}


def test_every_status_has_a_description_and_errors_are_problems(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                assert response["description"]
                if status == "204":
                    assert "content" not in response
                    continue
                (media_type,) = response["content"]
                is_error = int(status) >= 400
                if not is_error:
                    streams = path.endswith("/events")
                    assert media_type == ("text/event-stream" if streams else "application/json")
                else:
                    assert media_type == "application/problem+json"
                    assert response["content"][media_type]["schema"]["$ref"].endswith("/Problem")
                    assert "`" in response["description"], "an error names its code"


def test_documents_both_ways_to_authenticate_on_every_operation(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert {(s["type"], s.get("scheme") or s.get("in")) for s in schemes.values()} == {
        ("http", "bearer"),
        ("apiKey", "cookie"),
    }
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["security"] == [{name: []} for name in schemes]


def test_documents_headers(document: dict[str, Any]) -> None:
    submit = document["paths"]["/api/v1/features/{slug}/jobs"]["post"]
    rate = {"RateLimit", "RateLimit-Policy"}
    accepted = {"Location", "Idempotency-Replayed"}
    assert set(submit["responses"]["202"]["headers"]) == accepted | rate
    for status in ("429", "503"):
        assert set(submit["responses"][status]["headers"]) == {"Retry-After"} | rate
    assert set(submit["responses"]["401"]["headers"]) == {"WWW-Authenticate"}
    assert ("header", "Idempotency-Key") in {(p["in"], p["name"]) for p in submit["parameters"]}
    assert submit["requestBody"]["required"]


def test_every_reference_leads_somewhere_and_every_schema_is_valid(
    document: dict[str, Any],
) -> None:
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    references = set(_references(document))
    assert references
    assert {ref.removeprefix("#/components/schemas/") for ref in references} <= set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_operation_ids_differ(document: dict[str, Any]) -> None:
    ids = [o["operationId"] for methods in document["paths"].values() for o in methods.values()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)


def test_the_job_has_the_fields_of_the_contract(document: dict[str, Any]) -> None:
    assert set(document["components"]["schemas"]["JobOut"]["properties"]) == JOB_FIELDS


def test_the_docs_page_loads_nothing_from_elsewhere(client: Client) -> None:
    response = client.get("/api/v1/docs")
    page = response.content.decode()
    assert response.status_code == 200
    assert "/static/ninja/swagger-ui-bundle.js" in page
    assert "//" not in page.replace("<!--", "")
    assert finders.find("ninja/swagger-ui-bundle.js")


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from _references(child)
    elif isinstance(node, list):
        for child in node:
            yield from _references(child)
