"""Each way to be refused has one status, one code, and leaks nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.http import Http404
from django.test import Client, RequestFactory

from aifeature.api import problems, refusals
from aifeature.services.jobs.refusals import Refusal
from project.database.pool import PoolBusyError

CANARY = "canary-7f3a"
CONTRACT = {
    "bad_request": 400,
    "invalid_json": 400,
    "unauthenticated": 401,
    "csrf_failed": 403,
    "token_scope": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "no_feedback": 404,
    "idempotency_conflict": 409,
    "job_not_ended": 409,
    "not_rateable": 409,
    "input_too_large": 413,
    "unsupported_media_type": 415,
    "invalid_input": 422,
    "input_refused": 422,
    "too_many_streams": 429,
    "rate_limited": 429,
    "access_blocked": 403,
    "budget_exhausted": 429,
    "internal_error": 500,
    "database_unavailable": 503,
    "interrupted": 503,
    "feature_paused": 503,
    "budget_reached": 503,
    "overloaded": 503,
    "no_worker": 503,
    "guard_away": 503,
}


def _kinds(root: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)


def test_codes_and_statuses_are_those_of_the_contract() -> None:
    assert {kind.code: kind.status for kind in _kinds()} == CONTRACT


@pytest.mark.parametrize("kind", list(_kinds()), ids=lambda kind: kind.__name__)
def test_each_refusal_becomes_its_problem(kind: type[Refusal]) -> None:
    fields = [{"field": "a.b", "message": "Wrong."}]
    response = problems.answer(
        RequestFactory().get("/api/v1/jobs"), kind("Because.", errors=fields, retry_after_s=7)
    )
    assert response.status_code == kind.status
    assert response["Retry-After"] == "7"
    assert response["Content-Type"] == "application/problem+json"
    assert json.loads(response.content) == {
        "type": f"urn:aifeature:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": "Because.",
        "code": kind.code,
        "errors": fields,
    }


def test_only_a_401_carries_a_challenge() -> None:
    for kind in _kinds():
        challenged = problems.problem(kind("No.")).has_header("WWW-Authenticate")
        assert challenged == (kind is refusals.Unauthenticated)


def _database_error() -> OperationalError:
    error = OperationalError(CANARY)
    error.__cause__ = PoolBusyError(CANARY)
    return error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (_database_error(), 503, "database_unavailable"),
        (Http404(CANARY), 404, "not_found"),
        (KeyError(CANARY), 500, "internal_error"),
        (UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY), 500, "internal_error"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_is_answered_and_logged_without_its_message(
    error: Exception, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    request = RequestFactory().post("/api/v1/jobs", CANARY, content_type="text/plain")
    with pytest.raises(type(error)) as raised:
        raise error  # it gets a traceback, which quotes nothing either
    response = problems.answer(request, raised.value)
    assert (response.status_code, json.loads(response.content)["code"]) == (status, code)
    assert CANARY not in response.content.decode()
    assert CANARY not in caplog.text
    if status >= 500:
        (record,) = caplog.records
        assert record.levelno == logging.ERROR
        assert "/api/v1/jobs" in record.getMessage()
        assert type(error).__name__ in record.getMessage()
    assert response.has_header("Retry-After") == (status == 503)


def answer(method: str, path: str) -> Any:
    """Send a request without a sign-in, and check that its answer is a problem."""
    response: Any = getattr(Client(enforce_csrf_checks=True), method)(f"/api/v1/{path}")
    assert response["Content-Type"] == "application/problem+json"
    return response


@pytest.mark.parametrize("path", ["", "nothing", "jobs/", "features/summarize", "../v1/x", "a/b/c"])
@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_an_unknown_address_is_a_problem_with_any_method(path: str, method: str) -> None:
    response = answer(method, path)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("delete", "jobs", "GET"),
        ("put", "jobs/x", "GET"),
        ("get", "jobs/x/cancel", "POST"),
        ("get", "features/summarize/jobs", "POST"),
        ("patch", "features", "GET"),
    ],
)
def test_a_wrong_method_is_a_problem_that_names_the_right_ones(
    method: str, path: str, allow: str
) -> None:
    response = answer(method, path)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response["Allow"] == allow
