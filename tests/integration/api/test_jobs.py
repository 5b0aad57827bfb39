"""GET /jobs/{id}, GET /jobs, POST /jobs/{id}/cancel."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import Job, Status
from tests.integration.api.api_jobs import JOB_FIELDS, bearer, job, nobody, problem

MOMENT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def path(row: Job, tail: str = "") -> str:
    return f"/api/v1/jobs/{row.id}{tail}"


@pytest.fixture
def client(ada: User) -> Client:
    return bearer(ada)


def test_a_succeeded_job_in_full(client: Client, ada: User) -> None:
    row = job(
        ada, Status.SUCCEEDED, result={"summary": "Short.", "key_facts": []},
        created_at=MOMENT, started_at=MOMENT, finished_at=MOMENT, attempts=2,
        model="claude-haiku-5-5", prompt_version="v3", input_tokens=1, output_tokens=2,
        cache_read_tokens=3, cache_write_tokens=4, charge_micro=1_000_042,
    )  # fmt: skip
    response = client.get(path(row))
    assert response["Cache-Control"] == "no-store"
    assert response.json() == {
        "id": str(row.id),
        "feature": "summarize",
        "status": "succeeded",
        "created_at": "2026-03-01T09:30:00Z",
        "started_at": "2026-03-01T09:30:00Z",
        "finished_at": "2026-03-01T09:30:00Z",
        "approval_expires_at": None,
        "result": {"summary": "Short.", "key_facts": []},
        "partial_text": None,
        "degraded": False,
        "error": None,
        "model": "claude-haiku-5-5",
        "prompt_version": "v3",
        "usage": {
            "input_tokens": 1,
            "output_tokens": 2,
            "cache_read_tokens": 3,
            "cache_write_tokens": 4,
        },
        "cost_usd": "1.000042",
        "attempts": 2,
        "links": {"self": path(row), "feedback": f"{path(row)}/feedback"},
    }


@pytest.mark.parametrize("status", list(Status))
def test_the_body_follows_the_status(client: Client, ada: User, status: Status) -> None:
    reasons = {"wait_reason": "waits", "error_code": "failed", "error_message": "Because."}
    row = job(ada, status, result={"summary": "S."}, **reasons)
    body = client.get(path(row)).json()
    assert set(body) == JOB_FIELDS
    assert (body["result"] is not None) == (status == "succeeded")
    codes = {"queued": "waits"} | dict.fromkeys(("failed", "cancelled", "rejected"), "failed")
    code = codes.get(status)
    assert body["error"] == (code and {"code": code, "message": "Because."})
    open_ = status in {"queued", "running", "needs_approval"}
    assert ("cancel" in body["links"]) == open_


@pytest.mark.parametrize("tail", ["", "?wait=1", "?wait=1&seen=running"])
def test_a_strangers_job_looks_like_none(client: Client, bob: User, tail: str) -> None:
    refusal = problem(client.get(path(job(bob), tail)), 404, "not_found")
    assert refusal == problem(client.get(f"/api/v1/jobs/{nobody()}{tail}"), 404, "not_found")
    assert refusal == problem(client.get(f"/api/v1/jobs/not-an-id{tail}"), 404, "not_found")


def test_a_stranger_cannot_cancel(client: Client, bob: User) -> None:
    row = job(bob)
    refusal = problem(client.post(path(row, "/cancel")), 404, "not_found")
    assert refusal == problem(client.post(f"/api/v1/jobs/{nobody()}/cancel"), 404, "not_found")
    assert refusal == problem(client.post("/api/v1/jobs/x/cancel"), 404, "not_found")
    row.refresh_from_db()
    assert (row.status, row.cancel_requested_at) == (Status.QUEUED, None)


def test_staff_sees_no_job_of_another_user(bob: User) -> None:
    boss = User.objects.create_superuser("boss")
    client = bearer(boss)
    problem(client.get(path(job(bob))), 404, "not_found")
    assert client.get("/api/v1/jobs").json()["items"] == []


@pytest.mark.parametrize(
    "query", ["wait=-1", "wait=30.1", "wait=nan", "wait=inf", "wait=x", "seen=x", "wait=1&seen="]
)
def test_a_wait_that_does_not_fit_is_refused(client: Client, ada: User, query: str) -> None:
    body = problem(client.get(path(job(ada), f"?{query}")), 422, "invalid_input")
    assert [e["field"] for e in body["errors"]] == [query.rpartition("&")[2].partition("=")[0]]


@pytest.mark.parametrize(
    ("status", "query"),
    [(s, "wait=30") for s in Status if s not in {"queued", "running"}]
    + [(Status.RUNNING, "wait=30&seen=queued"), (Status.QUEUED, "wait=0")],
)
def test_a_wait_that_is_over_at_once_waits_for_nothing(
    client: Client, ada: User, status: Status, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waited() -> None:
        raise AssertionError("it waited")

    monkeypatch.setattr("aifeature.api.waiting.watch", waited)
    assert client.get(path(job(ada, status), f"?{query}")).json()["status"] == status


def _pages(client: Client, url: str) -> list[list[dict[str, Any]]]:
    pages = []
    following: str | None = url
    while following:
        body = client.get(following).json()
        assert set(body) == {"items", "next"}
        pages.append(body["items"])
        following = body["next"]
    return pages


def test_pages_show_every_own_job_once_newest_first(client: Client, ada: User, bob: User) -> None:
    rows = [job(ada, created_at=MOMENT) for _ in range(4)] + [job(ada) for _ in range(3)]
    job(bob)
    pages = _pages(client, "/api/v1/jobs?limit=3")
    assert [len(page) for page in pages] == [3, 3, 1]
    expected = sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True)
    assert [item["id"] for page in pages for item in page] == [str(row.id) for row in expected]
    assert set(pages[0][0]) == JOB_FIELDS


def test_a_page_stays_where_it_was_when_newer_jobs_come(client: Client, ada: User) -> None:
    rows = [job(ada) for _ in range(3)]
    first = client.get("/api/v1/jobs?limit=2").json()
    job(ada)
    (rest,) = _pages(client, first["next"])
    assert [item["id"] for item in rest] == [str(rows[0].id)]


def test_the_filter_goes_along_to_the_next_page(client: Client, ada: User) -> None:
    wanted = [job(ada, feature="summarize") for _ in range(3)]
    job(ada, feature="triage")
    first = client.get("/api/v1/jobs?limit=2&feature=summarize").json()
    assert parse_qs(urlsplit(first["next"]).query)["feature"] == ["summarize"]
    (rest,) = _pages(client, first["next"])
    assert len(first["items"] + rest) == len(wanted)
    assert client.get("/api/v1/jobs?feature=unknown").json() == {"items": [], "next": None}


CURSORS = ("", "!!!!", "AAAA", "f" * 32, "%C3%A9", "A" * 200)


@pytest.mark.parametrize(
    "query",
    [
        *(f"limit={value}" for value in ("0", "101", "x")),
        *(f"feature={value}" for value in ("%00", "A")),
        *(f"cursor={value}" for value in CURSORS),
    ],
)
def test_an_invalid_parameter_is_named(client: Client, query: str) -> None:
    body = problem(client.get(f"/api/v1/jobs?{query}"), 422, "invalid_input")
    assert [e["field"] for e in body["errors"]] == [query.partition("=")[0]]


def test_a_cursor_before_1970_finds_nothing(client: Client) -> None:
    answer = client.get(f"/api/v1/jobs?cursor={'_' * 32}")
    assert answer.json() == {"items": [], "next": None}
