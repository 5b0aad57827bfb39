"""The OpenAPI document and the job's links announce its event stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature.api import sse
from aifeature.models import TERMINAL, ApiToken, Status
from tests.integration.api.api_jobs import bearer, job


@pytest.fixture
def operation(client: Client) -> dict[str, Any]:
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    found: dict[str, Any] = paths["/api/v1/jobs/{job_id}/events"]["get"]
    return found


def test_the_document_names_every_event_and_the_header(operation: dict[str, Any]) -> None:
    for name in ("status", "delta", "reset", "result", "error"):
        assert f"`{name}`" in operation["description"]
    assert ("header", "Last-Event-ID") in {(p["in"], p["name"]) for p in operation["parameters"]}
    assert set(operation["responses"]["429"]["headers"]) == {"Retry-After"}
    assert "content" not in operation["responses"]["204"]


@pytest.mark.parametrize("status", list(Status))
def test_a_job_links_to_its_events_until_it_has_ended(db: None, status: Status) -> None:
    user = User.objects.create_user("ada")
    row = job(user, status, **({"result": {}} if status is Status.SUCCEEDED else {}))
    links = bearer(user).get(f"/api/v1/jobs/{row.id}").json()["links"]
    if status in TERMINAL:
        assert "events" not in links
    else:
        assert links["events"] == f"/api/v1/jobs/{row.id}/events"
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize("text", ["a\nb", "\r\n\r\n", "\u2028\u0085", "🎉", "data: x\n\nevent: y"])
def test_no_text_can_break_out_of_its_event(text: str) -> None:
    raw = sse.event("delta", {"text": text}, event_id="3-7").decode()
    head, event, data, *rest = raw.split("\n")
    assert (head, event, rest) == ("id: 3-7", "event: delta", ["", ""])
    assert "\r" not in raw
    assert json.loads(data.removeprefix("data: ")) == {"text": text}
