"""Staff read ratings with the permissions that their content needs, and figures without."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import ControlChange, FeatureControl, Feedback, JobSignal, NpsAnswer, Status
from aifeature.services.feedback import votes
from tests.integration.admin.conftest import MakeJob, Staff

LIST = "/admin/aifeature/feedback/"
WORDS = "The depot is in Lisbon."
ANSWER = "It is in Porto."


@pytest.fixture
def rated(customer: User, make_job: MakeJob) -> Feedback:
    values = {"status": Status.SUCCEEDED, "result": {"summary": ANSWER}, "prompt_version": "v4"}
    up = make_job(**values)
    votes.rate(user=customer, job_id=up.pk, rating=1, reasons=["clear"])
    job = make_job(**{**values, "feature": "summarize"})
    return votes.rate(user=customer, job_id=job.pk, rating=-1, reasons=["wrong"], comment=WORDS)


def test_content_needs_the_permission_to_view_jobs(staff: Staff, rated: Feedback) -> None:
    both, list_only = staff("view_feedback", "view_job"), staff("view_feedback")
    row = f"{LIST}{rated.pk}/change/"
    assert WORDS in both.get(LIST).text
    assert WORDS in both.get(row).text
    assert ANSWER in both.get(row).text
    assert str(rated.job_id)[:8] in both.get(f"{LIST}?q=depot").text
    for text in (list_only.get(LIST).text, list_only.get(row).text):
        assert WORDS not in text
        assert ANSWER not in text
    assert str(rated.job_id)[:8] not in list_only.get(f"{LIST}?q=depot").text
    assert str(rated.job_id)[:8] in list_only.get(f"{LIST}?q={rated.job_id}").text
    assert staff("view_job").get(f"{LIST}figures/").status_code == 403


def test_ratings_are_found_by_their_filters(page: Client, rated: Feedback) -> None:
    short = str(rated.job_id)[:8]
    for query in ("rating=-1", "reason=wrong", "feature=summarize", "prompt_version=v4"):
        assert short in page.get(f"{LIST}?{query}").text, query
    for query in ("rating=1", "rating=x", "reason=clear", "feature=triage", "prompt_version=v1"):
        assert short not in page.get(f"{LIST}?{query}").text, query


def test_the_page_shows_explicit_implicit_and_outcomes_apart(
    staff: Staff, rated: Feedback, customer: User
) -> None:
    visitor = staff("view_feedback")
    empty = visitor.get(f"{LIST}figures/?feature=triage&days=7").text
    assert "No user has answered the question" in empty
    assert "This feature has no hold-out" in empty
    NpsAnswer.objects.create(user=customer, feature="summarize", score=10)
    outcome = {"feature": "summarize", "name": "ticket_closed", "kind": "outcome"}
    JobSignal.objects.create(user=customer, **outcome)
    FeatureControl.objects.update_or_create(feature="summarize", defaults={"holdout_percent": 9})
    ControlChange.objects.create(feature="summarize", field="holdout_percent", reason="r")
    text = visitor.get(f"{LIST}figures/?feature=summarize&days=x").text
    for words in (
        *("What they say", "1 of 2 votes", "50.0%", "Wrong", "+100", "1 answer"),
        *("What they do", "Completed", "2 of 2 requests"),
        *("What comes of it", "ticket closed", "1 of 1", "1.00"),
        *("What it is worth", "A hold-out of 9 %", "nothing to compare with"),
    ):
        assert words in text, words
    assert WORDS not in text
