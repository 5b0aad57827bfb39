"""Pages of answers with citations, plain answers, receipts and examples."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from aifeature import registry
from aifeature.models import Job, Status
from aifeature.services.controls import effective
from tests import proof
from tests.integration.job_rows import MakeCall

ANSWER: dict[str, Any] = {
    "answer": "You can ask for a refund within 30 days.",
    "citations": [{"section": "refund-window", "quote": "<b>within 30 days</b>"}],
    "confidence": "high",
    "not_in_handbook": False,
}
UNKNOWN = {**ANSWER, "citations": [], "not_in_handbook": True}


@pytest.fixture(autouse=True)
def _opened_all(opened: None) -> None:
    for slug in registry.all_features():
        proof.open_to_users(slug)


def done(user: User, result: dict[str, Any], **fields: Any) -> Job:
    now = timezone.now()
    values = {
        "user": user,
        "feature": "answer",
        "input": {"question": "Refunds?"},
        "status": Status.SUCCEEDED,
        "result": result,
        "deadline_at": now,
        "finished_at": now,
        **fields,
    }
    return Job.objects.create(**values)


def page_of(client: Client, job: Job) -> str:
    text: str = client.get(f"/jobs/{job.id}/").text
    return text


def test_a_citation_leads_to_its_section(ada_client: Client, ada: User) -> None:
    page = page_of(ada_client, done(ada, ANSWER))
    assert 'href="/f/answer/sources/#refund-window"' in page
    assert "&lt;b&gt;within 30 days&lt;/b&gt;" in page
    sources = ada_client.get("/f/answer/sources/")
    assert 'id="refund-window"' in sources.text
    assert sources.text.count("<article") == len(registry.get("answer").sources())  # type: ignore[misc]


def test_a_citation_far_from_each_sentence_is_of_the_whole_answer(
    ada_client: Client, ada: User
) -> None:
    heading = "Sources of the whole answer"
    two = {**ANSWER, "answer": f"{ANSWER['answer']} Only the owner can."}
    assert heading not in page_of(ada_client, done(ada, two))
    far = {**two, "citations": [{"section": "lti", "quote": "Moodle and Canvas"}]}
    assert heading in page_of(ada_client, done(ada, far))


def test_only_features_that_cite_and_are_visible_have_sources(ada_client: Client) -> None:
    assert ada_client.get("/f/summarize/sources/").status_code == 404
    assert ada_client.get("/f/nothing/sources/").status_code == 404
    effective.change("answer", {"stage": "off"}, reason="test", check_name="test")
    assert ada_client.get("/f/answer/sources/").status_code == 404


def test_a_plain_answer_is_labelled_and_can_be_sent_again(ada_client: Client, ada: User) -> None:
    job = done(ada, ANSWER, degraded=True)
    page = page_of(ada_client, job)
    assert "Simple answer" in page
    assert "made without AI" in page
    assert f'href="/f/answer/?from={job.id}">Ask again' in page
    assert "a simple rule, without AI" in page
    assert ada_client.get(f"/api/v1/jobs/{job.id}").json()["degraded"] is True


def test_an_unknown_question_can_be_sent_as_a_ticket(
    ada_client: Client, ada: User, bob: User
) -> None:
    """If the other feature is open to the user."""
    job = done(ada, UNKNOWN)
    is_open = "triage" in registry.all_features()
    assert (f'href="/f/triage/?after={job.id}"' in page_of(ada_client, job)) == is_open
    assert "?after=" not in page_of(ada_client, done(ada, ANSWER))


@pytest.mark.parametrize("name", ["follow_up", "sources"])
@pytest.mark.parametrize("junk", [lambda *_: 1 / 0, lambda *_: "text"])
def test_a_page_survives_the_code_of_its_feature(
    ada_client: Client, ada: User, name: str, junk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = registry.get("answer").model_copy(update={name: junk})
    monkeypatch.setattr(registry, "all_features", lambda: {"answer": broken})
    job = done(ada, ANSWER)
    assert "within 30 days" in page_of(ada_client, job)
    old = done(ada, {"answer": "Stored before there were citations."})
    assert "Stored before" in page_of(ada_client, old)


def test_the_receipt_shows_the_cost_to_staff_only(ada_client: Client, ada: User) -> None:
    job = done(
        ada,
        ANSWER,
        model="claude-haiku-5-5",
        prompt_version="v1",
        charge_micro=1_250,
        input_tokens=500,
        cache_read_tokens=1_500,
        output_tokens=50,
    )
    page = page_of(ada_client, job)
    for shown in ("claude-haiku-5-5", "refund-window", "feature&#x27;s own rules"):
        assert shown in page
    assert "0.001250" not in page
    User.objects.filter(pk=ada.pk).update(is_staff=True)
    page = page_of(ada_client, job)
    assert "$0.001250" in page
    assert "75% of the prompt" in page
    assert "by the cache" not in page


@pytest.mark.parametrize(
    ("saved", "shown"),
    [([9_000, -1_500], "Saved by the cache"), ([-7_500], "Spent on filling the cache")],
)
def test_the_receipt_shows_staff_the_effect_of_the_cache(
    ada_client: Client, ada: User, make_call: MakeCall, saved: list[int], shown: str
) -> None:
    User.objects.filter(pk=ada.pk).update(is_staff=True)
    job = done(ada, ANSWER, model="claude-haiku-5-5", prompt_version="v1")
    for number, micro in enumerate(saved, 1):
        make_call(job=job, number=number, cache_saved_micro=micro)
    page = page_of(ada_client, job)
    assert shown in page
    assert "$0.007500" in page


def test_an_example_fills_the_form(ada_client: Client) -> None:
    page = ada_client.get("/f/answer/").text
    for number, example in enumerate(registry.get("answer").examples):
        assert f'href="/f/answer/?example={number}">{example.label}</a>' in page
        assert example.input["question"] in ada_client.get(f"/f/answer/?example={number}").text
    for wrong in ("99", "-1", "x", "9" * 5000, "\u0661"):
        assert ada_client.get(f"/f/answer/?example={wrong}").status_code == 200
