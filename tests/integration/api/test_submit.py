"""POST /features/{slug}/jobs and GET /features."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import Job, Stage
from aifeature.services.controls import effective
from tests.integration.api.api_jobs import DOCUMENT, JOB_FIELDS, bearer, problem, submit

URL = "/api/v1/features/summarize/jobs"
CANARY = "canary-7f3a"
DOCUMENT_IN_UTF8 = '{"input": {"document": "Grüße"}}'.encode()


@pytest.fixture
def client(ada: User, opened: None) -> Client:
    return bearer(ada)


def test_lists_the_features_with_their_schemas(client: Client) -> None:
    items = client.get("/api/v1/features").json()["items"]
    (item,) = [each for each in items if each["slug"] == "summarize"]
    names = "slug title description input_schema output_schema max_input_bytes links"
    assert set(item) == set(names.split())
    assert item["input_schema"]["required"] == ["document"]
    assert "summary" in item["output_schema"]["properties"]
    assert item["links"] == {"submit": URL}


def test_a_feature_that_is_not_open_for_the_user_does_not_exist(client: Client) -> None:
    effective.change("summarize", {"stage": Stage.OFF}, reason="test")
    assert client.get("/api/v1/features").json() == {"items": []}
    closed = problem(submit(client), 404, "not_found")
    absent = client.post(
        "/api/v1/features/no-such/jobs", {"input": {}}, content_type="application/json"
    )
    assert problem(absent, 404, "not_found") == closed


def test_202_means_the_row_is_there(client: Client, ada: User) -> None:
    response = submit(client)
    assert response.status_code == 202
    assert response["Cache-Control"] == "no-store"
    body = response.json()
    row = Job.objects.get()
    assert (row.user, row.input, str(row.id)) == (ada, DOCUMENT, body["id"])
    assert response["Location"] == body["links"]["self"] == f"/api/v1/jobs/{row.id}"
    assert set(body) == JOB_FIELDS
    assert body["status"] == "queued"
    assert body["created_at"].endswith("Z")
    assert not response.has_header("Idempotency-Replayed")
    assert client.get(response["Location"]).json() == body


def test_a_replay_is_the_same_job(client: Client) -> None:
    key = "k 1 ".ljust(200, "k")  # the longest
    first = submit(client, idempotency_key=key)
    again = submit(client, idempotency_key=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert first["Location"] == again["Location"]
    assert again["Idempotency-Replayed"] == "true"
    assert not first.has_header("Idempotency-Replayed")
    assert Job.objects.count() == 1


def test_a_key_used_for_something_else_is_a_conflict(client: Client) -> None:
    submit(client, idempotency_key="k")
    other = submit(client, {"input": {"document": "Other."}}, idempotency_key="k")
    problem(other, 409, "idempotency_conflict")
    assert Job.objects.count() == 1


@pytest.mark.parametrize("key", ["", "k" * 201, "tab\there", "\xe9"])
def test_a_key_that_does_not_fit_is_named(client: Client, key: str) -> None:
    body = problem(submit(client, idempotency_key=key), 422, "invalid_input")
    assert [e["field"] for e in body["errors"]] == ["Idempotency-Key"]


def test_a_paused_feature_sends_retry_after(client: Client) -> None:
    effective.change("summarize", {"killed": True}, reason="test")
    response = submit(client)
    problem(response, 503, "feature_paused")
    assert int(response["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b" ", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b'{"input": {"document": NaN}}', 422, "invalid_input"),
        (b'{"input": {"document": 1e999}}', 422, "invalid_input"),
        (b'{"input": {"document": ' + b"9" * 5000 + b"}}", 422, "invalid_input"),
        (b'{"input": {"document": ' + b"[" * 100 + b"]" * 100 + b"}}", 422, "invalid_input"),
        (b"[" * 200_000, 422, "invalid_input"),
        (b'{"a":' * 100_000, 422, "invalid_input"),
        (b"null", 422, "invalid_input"),
        (b"[]", 422, "invalid_input"),
        (b"{}", 422, "invalid_input"),
        (b'{"input": {"document": "x"}, "extra": 1}', 422, "invalid_input"),
        (b'{"input": "x"}', 422, "invalid_input"),
        (b'{"input": {}}', 422, "invalid_input"),
        (b'{"input": {"document": 5}}', 422, "invalid_input"),
        (b'{"input": {"document": ""}}', 422, "invalid_input"),
        (b'{"input": {"document": "x", "more": 1}}', 422, "invalid_input"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_invalid_body_is_refused(client: Client, raw: bytes, status: int, code: str) -> None:
    response: Any = client.post(URL, raw, content_type="application/json")
    body = problem(response, status, code)
    assert ("errors" in body) == (status == 422)
    assert not Job.objects.exists()


@pytest.mark.parametrize("text", [r"a\u0000b", r"\ud800", r"\udfff!"])
@pytest.mark.parametrize("place", ['{"document": "%s"}', '{"document": {"%s": 1}}'])
def test_text_that_cannot_be_stored_is_refused(client: Client, text: str, place: str) -> None:
    response = client.post(
        URL, f'{{"input": {place % text}}}'.encode(), content_type="application/json"
    )
    body = problem(response, 422, "invalid_input")
    assert [e["field"] for e in body["errors"]] == ["document"]


@pytest.mark.parametrize(
    ("raw", "text"),
    [(rb'{"input": {"document": "\ud83d\ude00"}}', "\U0001f600"), (DOCUMENT_IN_UTF8, "Grüße")],
)
def test_surrogate_pairs_and_utf8_are_kept(client: Client, raw: bytes, text: str) -> None:
    response = client.post(URL, raw, content_type="application/json; charset=utf-8")
    assert response.status_code == 202
    assert Job.objects.get().input == {"document": text}


def test_too_much_for_the_feature_or_the_server_is_a_413(client: Client) -> None:
    large = submit(client, {"input": {"document": "x" * 1_000_001}})
    assert CANARY not in problem(large, 413, "input_too_large")["detail"]
    larger = submit(client, {"input": {"document": "x" * 2_700_000}})
    problem(larger, 413, "input_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "", "a/b/c"])
def test_a_body_that_is_not_declared_as_json_is_a_415(client: Client, kind: str) -> None:
    response = client.post(URL, b'{"input": {"document": "x"}}', content_type=kind)
    problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "body",
    [
        {"input": {"document": [CANARY]}},
        {"input": {"document": 5}, CANARY: CANARY},
        {"input": CANARY},
        {"input": {"document": f"{CANARY}\0"}},
        {"input": {f"{CANARY}": "\0"}},
    ],
)
def test_errors_hide_input(client: Client, body: Any, caplog: pytest.LogCaptureFixture) -> None:
    response = submit(client, body)
    assert response.status_code == 422
    assert CANARY not in response.content.decode()
    assert CANARY not in caplog.text


def test_a_defect_is_a_500_without_a_trace(
    ada: User, opened: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(**_: Any) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr("aifeature.services.jobs.submit", broken)
    response = submit(bearer(ada))
    problem(response, 500, "internal_error")
    assert CANARY not in response.content.decode()
    assert CANARY not in caplog.text
    assert "RuntimeError" in caplog.text
