"""Each failure shows a reference. On-call finds it in admin and in the log."""

from __future__ import annotations

import asyncio
import io
import logging
import re
from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client

from aifeature.models import Job, Status, WebFailure
from aifeature.services import jobs
from aifeature.services.controls import effective
from aifeature.services.failures import web_failures
from aifeature.services.failures.web_failures import Failures
from aifeature.services.jobs import admission
from aifeature.services.jobs.refusals import (
    BudgetExhausted,
    BudgetReached,
    NoWorker,
    Overloaded,
    RateLimited,
)
from aifeature.services.texts import references
from project.concurrency import Concurrency
from project.handler import Handler
from project.log_lines import LineFormatter
from tests.browser import scenes
from tests.integration.event_loop import client_of

pytestmark = pytest.mark.slow

FORM = "/f/summarize/"
SECRET = "a zebra of db.internal"
SHOWN = re.compile(r"[Rr]eference: <b>([^<]+)</b>")


@pytest.fixture(autouse=True)
def failures(monkeypatch: pytest.MonkeyPatch) -> Failures:
    """The failures of a new process. Its clock stands still."""
    made = Failures(clock=lambda: made_at[0])
    for module in ("aifeature.services.failures.web_failures", "aifeature.web.errors", *USERS):
        monkeypatch.setattr(f"{module}.failures", made)
    return made


USERS = ("aifeature.web.views", "aifeature.api.problems", "project.failed_requests")
made_at = [0.0]


@pytest.fixture
def visitor(ada: User, opened: None) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(ada)
    return client


@pytest.fixture
def on_call(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    return client


def reference_on(response: Any) -> str:
    (shown,) = SHOWN.findall(response.text)
    assert response.headers["X-Request-ID"] == shown
    return str(shown)


def found_by(on_call: Client, reference: str) -> WebFailure:
    page = on_call.get("/admin/aifeature/webfailure/", {"q": f" {reference.lower()} "})
    assert f"/admin/aifeature/webfailure/{reference}/change/" in page.text
    row = WebFailure.objects.get(pk=reference)
    detail = on_call.get(f"/admin/aifeature/webfailure/{reference}/change/")
    assert row.code in detail.text
    assert SECRET not in detail.text
    return row


def breaks(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(jobs, "visible_features", broken)
    monkeypatch.setattr(jobs, "visible_feature", broken)


@pytest.mark.parametrize("error", [RuntimeError(SECRET), ValueError(SECRET), KeyError(SECRET)])
def test_a_defect_is_found_by_its_reference_without_what_it_quotes(
    visitor: Client, on_call: Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with monkeypatch.context() as patch:
        breaks(patch, error)
        answers = [visitor.get("/"), visitor.get(FORM), visitor.post(FORM, {"in-document": "A."})]
    for answer, place in zip(answers, ["", "f/<slug:slug>/", "f/<slug:slug>/"], strict=True):
        assert answer.status_code == 500
        row = found_by(on_call, reference_on(answer))
        assert (row.status, row.place, row.code) == (500, place, type(error).__name__)
        assert "in broken" in row.where
        assert SECRET not in row.where


@pytest.mark.parametrize(
    "refusal",
    [
        NoWorker("No.", retry_after_s=5),
        Overloaded("No.", retry_after_s=5),
        BudgetReached("No."),
        BudgetExhausted("No."),
        RateLimited("No.", retry_after_s=5),
    ],
)
def test_a_refused_form_shows_a_reference(
    visitor: Client, on_call: Client, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    def refuse(*_: Any) -> None:
        raise refusal

    monkeypatch.setattr(admission, "admit", refuse)
    answer = visitor.post(FORM, {"in-document": "My text.", "key": "k"})
    row = found_by(on_call, reference_on(answer))
    assert (row.status, row.code) == (answer.status_code, refusal.code)  # type: ignore[attr-defined]
    assert "My text." in answer.text


def test_every_error_page_has_a_reference(
    visitor: Client, on_call: Client, settings: Any, opened: None
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = visitor.cookies
    stranger = Client()
    for _ in range(5):
        locked = stranger.post("/accounts/login/", {"username": "eve", "password": "wrong"})
    pages = {
        404: (visitor.get("/nowhere/"), ""),
        413: (visitor.post(FORM, {"in-document": "x" * 2_000}), "text is too long"),
        403: (strict.post(FORM, {"in-document": "A text."}), "This form is out of date"),
        429: (locked, "Too many attempts"),
    }
    assert not Job.objects.exists()
    for status, (page, words) in pages.items():
        assert page.status_code == status
        assert words in page.text
        assert found_by(on_call, reference_on(page)).status == status


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(RuntimeError(SECRET), 500, "RuntimeError"), (NoWorker("No."), 503, "no_worker")],
)
def test_a_problem_of_the_api_has_a_reference_if_the_fault_is_ours(
    visitor: Client,
    on_call: Client,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: str,
) -> None:
    with monkeypatch.context() as patch:
        breaks(patch, error)
        answer = visitor.get("/api/v1/features")
    assert answer.status_code == status
    assert answer.json()["reference"] == answer.headers["X-Request-ID"]
    assert found_by(on_call, answer.json()["reference"]).code == code
    missing = visitor.get("/api/v1/nothing")
    assert "reference" not in missing.json()
    assert "X-Request-ID" not in missing.headers


def test_a_request_refused_unread_has_a_reference(visitor: Client, on_call: Client) -> None:
    async def send() -> httpx2.Response:
        async with client_of(Concurrency(Handler())) as client:
            return await client.post(FORM, content=b"x" * 100, headers={"content-length": "9" * 9})

    answer = asyncio.run(send())
    assert answer.status_code == 413
    reference = reference_on(answer)
    visitor.get("/")
    assert found_by(on_call, reference).code == "input_too_large"


def test_an_answer_that_did_not_fail_is_not_kept(visitor: Client, db: None) -> None:
    assert "X-Request-ID" not in visitor.get("/").headers
    assert visitor.post(FORM, {"in-document": ""}).status_code == 422
    assert not WebFailure.objects.exists()


def test_the_log_names_the_reference(visitor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(LineFormatter("%(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    try:
        breaks(monkeypatch, RuntimeError(SECRET))
        reference = reference_on(visitor.get("/"))
    finally:
        logger.removeHandler(handler)
    assert f"ERROR django.request [{reference}] Internal Server Error: /" in lines.getvalue()


def test_a_failure_during_a_database_outage_is_stored_afterwards(
    visitor: Client, on_call: Client, monkeypatch: pytest.MonkeyPatch, failures: Failures
) -> None:
    with monkeypatch.context() as patch:
        breaks(patch, OperationalError(SECRET))
        answer = visitor.get("/")
    assert answer.status_code == 503
    reference = reference_on(answer)
    visitor.get("/")
    assert not WebFailure.objects.exists(), "the database is left alone for a moment"
    made_at[0] += web_failures.RETRY_S
    visitor.get("/")
    row = found_by(on_call, reference)
    assert (row.status, row.code) == (503, "OperationalError")


def test_a_failed_write_spoils_no_answer(
    visitor: Client, on_call: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OperationalError(SECRET)

    with monkeypatch.context() as patch:
        patch.setattr(type(WebFailure.objects), "bulk_create", broken)
        answer = visitor.get("/nowhere/")
    assert answer.status_code == 404
    made_at[0] += web_failures.RETRY_S
    visitor.get("/")
    found_by(on_call, reference_on(answer))


def test_many_failures_of_a_kind_share_references(visitor: Client, on_call: Client) -> None:
    most = web_failures.PER_MINUTE
    shown = [reference_on(visitor.get(f"/nowhere/{number}/")) for number in range(most + 15)]
    assert len(set(shown)) == WebFailure.objects.count() == most
    assert WebFailure.objects.filter(pk__in=shown).count() == most
    of_another_kind = reference_on(visitor.post("/nowhere/"))
    assert of_another_kind not in shown
    found_by(on_call, of_another_kind)
    WebFailure.objects.all().delete()
    made_at[0] += 60  # the next minute
    for number in range(3 * most):  # invented methods are of one kind
        visitor.generic(f"Z{number}", "/nowhere/")
    assert WebFailure.objects.count() == most


def test_old_failures_are_deleted_and_the_newest_stay(db: None) -> None:
    for number in range(5):
        day = f"2026-01-0{number + 1}T00:00Z"
        WebFailure.objects.create(reference=f"W-{number}", status=500, at=day)
    new = [WebFailure.objects.create(reference=f"W-A{n}", status=500) for n in range(4)]
    assert web_failures.prune(most=3) == 6
    assert set(WebFailure.objects.all()) < set(new)
    assert WebFailure.objects.count() == 3
    faults = list(WebFailure.objects.all())
    for number in range(4):
        WebFailure.objects.create(reference=f"W-B{number}", status=404)
    assert web_failures.prune(most=4) == 3, "failures that any visitor can cause are deleted first"
    assert set(WebFailure.objects.all()) > set(faults)


FAILED: list[tuple[Status, dict[str, Any]]] = [
    (Status.FAILED, {}),
    (Status.REJECTED, {}),
    *((Status.CANCELLED, {"cancelled_by": by}) for by in ("staff", "switch", "account")),
]


@pytest.mark.parametrize(("status", "values"), FAILED)
def test_a_job_that_failed_shows_a_reference_that_admin_finds(
    visitor: Client, on_call: Client, ada: User, status: Status, values: dict[str, Any]
) -> None:
    job, other = scenes.job(ada, status, **values), scenes.job(ada, status, **values)
    page = visitor.get(f"/jobs/{job.id}/")
    (reference,) = SHOWN.findall(page.text)
    assert reference == references.of_job(job.id)
    for term in (reference, reference.lower(), reference.removeprefix("J-"), f" {reference} "):
        listed = on_call.get("/admin/aifeature/job/", {"q": term}).text
        assert str(job.id) in listed
        assert str(other.id) not in listed


def test_a_job_that_did_not_fail_shows_none(visitor: Client, ada: User) -> None:
    for status in (Status.QUEUED, Status.RUNNING, Status.SUCCEEDED):
        assert not SHOWN.findall(visitor.get(f"/jobs/{scenes.job(ada, status).id}/").text)


def test_the_search_distinguishes_references(on_call: Client, opened: None, ada: User) -> None:
    jobs = "/admin/aifeature/job/"
    page = on_call.get(jobs, {"q": references.new_request()})
    assert "Search for it under Web failures" in page.text
    named = scenes.job(scenes.person("12345678"), Status.FAILED)
    scenes.job(ada, Status.FAILED)
    assert str(named.id) in on_call.get(jobs, {"q": "12345678"}).text


def test_a_paused_feature_keeps_the_text(visitor: Client, on_call: Client) -> None:
    effective.change("summarize", {"killed": True}, reason="test", check_name="test")
    effective.cache.clear()
    answer = visitor.post(FORM, {"in-document": "My <long> text.", "key": "k"})
    assert found_by(on_call, reference_on(answer)).code == "feature_paused"
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")
    assert "paused" in answer.text
    assert "My &lt;long&gt; text." in answer.text
