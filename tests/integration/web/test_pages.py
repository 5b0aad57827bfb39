"""Pages as the server sends them: their content for each user, their state, and their headers."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client

from aifeature.models import Job, Status
from aifeature.services.jobs import lifecycle
from tests.browser import scenes

FORM = "/f/summarize/"


def send(client: Client, text: str = "A text.", **fields: str) -> Any:
    return client.post(FORM, {"in-document": text, "key": "k1", **fields})


def test_the_start_page_links_to_features_and_admin(ada_client: Client, ada: User) -> None:
    page = ada_client.get("/").text
    assert f'href="{FORM}"' in page
    assert "/api/v1/docs" in page
    assert "/admin/" not in page
    User.objects.filter(pk=ada.pk).update(is_staff=True)
    assert 'href="/admin/"' in ada_client.get("/").text


def test_sending_makes_a_job_and_leads_to_it(ada_client: Client) -> None:
    response = send(ada_client, "Line one.\r\nLine two.")
    job = Job.objects.get()
    assert (response.status_code, response["Location"]) == (303, f"/jobs/{job.id}/")
    assert job.input == {"document": "Line one.\nLine two."}


def test_sent_twice_it_is_one_job_and_with_other_words_another(ada_client: Client) -> None:
    first, again = send(ada_client), send(ada_client)
    assert first["Location"] == again["Location"]
    changed = send(ada_client, "Another text.")
    assert changed["Location"] != first["Location"]
    assert Job.objects.count() == 2


def test_each_form_has_a_key_of_its_own(ada_client: Client) -> None:
    keys = {re.search(r'name="key" value="([^"]+)"', ada_client.get(FORM).text) for _ in "ab"}
    assert len({found[1] for found in keys if found}) == 2


@pytest.mark.parametrize("text", ["", "   "])
def test_a_missing_field_is_marked_and_nothing_is_sent(ada_client: Client, text: str) -> None:
    response = send(ada_client, text)
    assert response.status_code == 422
    assert 'id="id_in-document_error"' in response.text
    assert 'aria-invalid="true"' in response.text
    assert not Job.objects.exists()


def test_try_again_repeats_ones_own_text_only(ada_client: Client, ada: User, bob: User) -> None:
    mine, theirs = scenes.job(ada, Status.FAILED), scenes.job(bob, Status.FAILED)
    assert "Lisbon" in ada_client.get(f"{FORM}?from={mine.id}").text
    for other in (theirs.id, uuid4(), "nonsense"):
        page = ada_client.get(f"{FORM}?from={other}")
        assert page.status_code == 200
        assert "Lisbon" not in page.text


@pytest.mark.parametrize("status", list(Status))
def test_a_job_is_shown_in_every_state(ada_client: Client, ada: User, status: Status) -> None:
    job = scenes.job(ada, status)
    page = ada_client.get(f"/jobs/{job.id}/").text
    assert ("data-events" in page) == (status in {Status.QUEUED, Status.RUNNING})
    assert ('http-equiv="refresh"' in page) == (job.finished_at is None)
    readable = status is Status.SUCCEEDED
    assert ("left at a depot in Porto and comes on" in page) == readable, "only after its release"
    assert (f"/jobs/{job.id}/cancel/" in page) == (job.finished_at is None)
    assert ("took 4.1 s" in page) == (job.finished_at is not None)
    part = ada_client.get(f"/jobs/{job.id}/?part").text
    assert "<html" not in part
    assert f'data-state="{status}"' in part


def test_a_job_that_is_being_cancelled_shows_it(ada_client: Client, ada: User) -> None:
    job = scenes.job(ada, Status.RUNNING)
    assert ada_client.post(f"/jobs/{job.id}/cancel/").status_code == 303
    page = ada_client.get(f"/jobs/{job.id}/").text
    assert "Stopping" in page
    assert "/cancel/" not in page


def test_a_job_without_text_or_feature_is_shown(ada_client: Client, ada: User) -> None:
    job = scenes.job(ada, Status.SUCCEEDED)
    Job.objects.filter(pk=job.pk).update(input=None)
    page = ada_client.get(f"/jobs/{job.id}/").text
    assert "no longer stored" in page
    assert "?from=" not in page
    gone = Job.objects.create(
        user=ada, feature="old_one", status=Status.QUEUED, input={"a": "b"},
        deadline_at=job.deadline_at,
    )  # fmt: skip
    assert "Old one" in ada_client.get(f"/jobs/{gone.id}/").text
    assert "Old one" in ada_client.get("/jobs/").text


def test_strangers_find_nothing(ada_client: Client, bob: User) -> None:
    job = scenes.job(bob, Status.RUNNING)
    assert ada_client.get(f"/jobs/{job.id}/").status_code == 404
    assert ada_client.post(f"/jobs/{job.id}/cancel/").status_code == 404
    assert str(job.id) not in ada_client.get("/jobs/").text
    assert lifecycle.get(user=bob, job_id=job.id).cancel_requested_at is None


def found(client: Client, query: str = "") -> list[UUID]:
    page = client.get(f"/jobs/{query}").text
    return [UUID(job) for job in re.findall(r'class="row-main">\s*<a href="/jobs/([^/]+)/', page)]


def test_the_pages_of_the_history_are_complete(ada_client: Client, ada: User) -> None:
    ages = [timedelta(minutes=n // 3) for n in range(45)]  # three of each moment
    made = [scenes.job(ada, Status.SUCCEEDED, age=age) for age in ages]
    query, pages = "", []
    while True:
        response = ada_client.get(f"/jobs/{query}").text
        pages.append(found(ada_client, query))
        older = re.search(r'rel="next" href="/jobs/([^"]+)"', response)
        if older is None:
            break
        query = older[1]
    assert [len(page) for page in pages] == [20, 20, 5]
    assert sorted(job for page in pages for job in page) == sorted(job.id for job in made)
    newer = re.search(r'rel="prev" href="/jobs/([^"]+)"', response)
    assert newer is not None
    assert found(ada_client, newer[1]) == pages[1]


def test_search_reads_words_only(ada_client: Client, ada: User) -> None:
    text = 'A zebra said "yes" to a.b at C:\\tmp, line\nbreak. GRÜSSE, Grüße.'
    result = {"summary": "A gamma ray.", "key_facts": []}
    job = scenes.job(ada, Status.SUCCEEDED, document=text, result=result)
    scenes.job(ada, Status.SUCCEEDED, document="Nothing of the kind.", result={"summary": "No."})
    for words in ("ZEBRA", 'said "yes', "a.b", "line\nbreak", "\\", "grüße", "gamma ray"):
        assert found(ada_client, f"?{urlencode({'q': words})}") == [job.id], words
    for words in ("a_b", "%", "document", "key_facts"):
        assert job.id not in found(ada_client, f"?{urlencode({'q': words})}"), words


def test_search_finds_by_the_start_of_the_id(ada_client: Client, ada: User) -> None:
    job = scenes.job(ada, Status.QUEUED)
    scenes.job(ada, Status.QUEUED)
    assert found(ada_client, f"?q={str(job.id)[:13].upper()}") == [job.id]


@pytest.mark.parametrize("status", [Status.NEEDS_APPROVAL, Status.REJECTED])
def test_search_skips_unreleased_answers(ada_client: Client, ada: User, status: Status) -> None:
    scenes.job(ada, status, result={"summary": "A secret zebra."})
    assert found(ada_client, "?q=zebra") == []


def test_the_history_filters(ada_client: Client, ada: User) -> None:
    failed = scenes.job(ada, Status.FAILED)
    scenes.job(ada, Status.QUEUED)
    assert found(ada_client, "?status=failed") == [failed.id]
    assert len(found(ada_client, "?feature=summarize")) == 2
    assert len(found(ada_client, "?status=bogus&feature=bogus&older=bogus&newer=9-9")) == 2


def test_the_history_reads_no_documents(
    ada_client: Client, ada: User, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        scenes.job(ada, Status.SUCCEEDED)
    with django_assert_max_num_queries(6) as queries:
        ada_client.get("/jobs/")
    rows = [q["sql"] for q in queries if "jsonb_path_query" in q["sql"]]
    assert len(rows) == 1
    assert '"result"' not in rows[0].split(" FROM ")[0]


@pytest.mark.parametrize("provider", ["sandbox", "anthropic"])
def test_pages_name_the_sandbox(
    ada_client: Client, ada: User, settings: Any, provider: str
) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "PROVIDER": provider}
    job = scenes.job(ada, Status.SUCCEEDED)
    for path in ["/", FORM, "/jobs/", f"/jobs/{job.id}/", "/nowhere/", "/accounts/login/"]:
        page = ada_client.get(path, follow=True).text
        assert ('class="sandbox"' in page) == (provider == "sandbox"), path


def test_every_page_keeps_the_strict_policy(ada_client: Client, ada: User) -> None:
    job = scenes.job(ada, Status.SUCCEEDED)
    for path in ["/", FORM, "/jobs/", f"/jobs/{job.id}/", "/nowhere/", "/api/v1/features"]:
        response = ada_client.get(path)
        policy = response["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        page = response.text
        assert "style=" not in page
        assert "onclick" not in page
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", page))
        assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (OperationalError("connection refused to db.internal"), 503, "Temporarily unavailable"),
        (RuntimeError("secret"), 500, "went wrong on our side"),
    ],
)
def test_outages_and_defects_have_a_page_that_needs_no_database(
    ada: User,
    opened: None,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    words: str,
) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(ada)

    def broken(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("django.db.backends.utils.CursorWrapper.execute", broken)
        response = client.get("/")
    assert response.status_code == status
    assert words in response.text
    assert str(error) not in response.text
    assert ("Retry-After" in response) == (status == 503)
