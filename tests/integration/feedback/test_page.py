"""The page of a job: rate without JavaScript, the NPS question, and signals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client

from aifeature.models import Feedback, Job, JobSignal, NpsAnswer, Status, feedback
from aifeature.services.feedback import nps
from aifeature.web.schema_form import PREFIX
from tests.integration.api.api_jobs import DOCUMENT, job
from tests.integration.conftest import wait_until_blocked

RESULT = {"summary": "Lost.", "key_facts": ["Resent"]}


@pytest.fixture
def done(ada: User) -> Job:
    return job(ada, Status.SUCCEEDED, result=RESULT)


def test_a_rating_without_javascript(client: Client, ada: User, bob: User, done: Job) -> None:
    client.force_login(ada)
    page = f"/jobs/{done.pk}/"
    assert "Was this answer helpful?" in client.get(page).text
    answer = client.post(f"{page}feedback/", {"rating": "-1"})
    assert (answer.status_code, answer["Location"]) == (303, f"{page}#feedback")
    assert "Not what I asked" in client.get(page).text
    told = {"rating": "-1", "reasons": ["wrong"], "comment": "Two\r\nlines"}
    client.post(f"{page}feedback/", told)
    row = Feedback.objects.get()
    assert row.comment == "Two\nlines"
    assert 'value="wrong" checked' in client.get(page).text
    # The other thumb drops the reasons of the first, and keeps the comment.
    client.post(f"{page}feedback/", {**told, "rating": "1"})
    row.refresh_from_db()
    assert (row.rating, row.reasons, row.comment) == (1, [], "Two\nlines")
    part = client.post(f"{page}feedback/?part", {"rating": "1"})
    assert part.text.lstrip().startswith('<section class="rate"')

    long = client.post(f"{page}feedback/", {"rating": "1", "comment": "<b>" + "x" * 2_000})
    assert long.status_code == 422
    assert "at most 2,000 characters; this one has 2,003" in long.text
    assert "&lt;b&gt;xxx" in long.text, "what was typed is still there"
    assert client.post(f"{page}feedback/", {"rating": "5"}).status_code == 422
    for status in (Status.RUNNING, Status.CANCELLED):
        other = job(ada, status)
        assert client.post(f"/jobs/{other.pk}/feedback/", {"rating": "1"}).status_code == 303
        assert "data-rate" not in client.get(f"/jobs/{other.pk}/").text
    assert Feedback.objects.count() == 1
    client.force_login(bob)
    for tail, body in (
        ("feedback/", told),
        ("nps/", {"score": "9"}),
        ("signals/", {"name": "read"}),
    ):
        assert client.post(page + tail, body).status_code == 404


def test_the_nps_question_comes_once_in_ninety_days(client: Client, ada: User, done: Job) -> None:
    client.force_login(ada)
    page = f"/jobs/{done.pk}/"
    question = "How likely are you to recommend"
    job(ada, Status.SUCCEEDED, result=RESULT)
    job(ada, Status.SUCCEEDED, result=RESULT, feature="triage")
    assert question not in client.get(page).text, "two answers are too few"
    client.post(f"{page}nps/", {"score": "9"})
    third = job(ada, Status.SUCCEEDED, result=RESULT)
    assert question in client.get(page).text
    for bad in ({"score": "11"}, {"score": "-1"}, {"score": "x"}, {}):
        client.post(f"{page}nps/", bad)
    assert not NpsAnswer.objects.exists()
    answer = client.post(f"{page}nps/", {"not_now": "1"})
    assert answer["Location"] == f"{page}?thanks#feedback"
    assert "We will not ask you again soon" in client.get(f"{page}?thanks").text
    client.post(f"/jobs/{third.pk}/nps/", {"score": "2"})
    assert NpsAnswer.objects.get().score is None
    NpsAnswer.objects.update(at=Now() - timedelta(days=90))
    assert question in client.get(page).text


@pytest.mark.usefixtures("committed")
def test_two_tabs_answer_the_nps_question_once(ada: User) -> None:
    def answer(score: int) -> bool:
        return feedback.answer_nps(
            user_id=ada.pk, feature="summarize", score=score, days=nps.EVERY_DAYS
        )

    def in_other_tab() -> bool:
        try:
            return answer(2)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert answer(9)
            other = pool.submit(in_other_tab)
            wait_until_blocked()
        assert not other.result(60)
    assert NpsAnswer.objects.get().score == 9


def test_a_changed_request_is_a_signal_of_the_earlier_one(
    client: Client, ada: User, opened: None
) -> None:
    client.force_login(ada)

    def send(document: str, **more: str) -> Job:
        body = {f"{PREFIX}-document": document, "key": str(uuid4()), **more}
        assert client.post("/f/summarize/", body).status_code == 303
        return Job.objects.latest("created_at")

    first = send(DOCUMENT["document"])
    send("Another.", **{"from": str(first.pk)})
    assert not JobSignal.objects.exists(), "it has no answer that was changed"
    digest = first.request_digest
    done = job(ada, Status.SUCCEEDED, result=RESULT, request_digest=digest)
    again = client.get(f"/f/summarize/?from={done.pk}").text
    assert f'name="from" value="{done.pk}"' in again
    send(DOCUMENT["document"], **{"from": str(done.pk)})
    send("Another.", **{"from": str(uuid4())})
    send("Another.", **{"from": "x"})
    assert not JobSignal.objects.exists(), "the same input is no change"
    send("Another.", **{"from": str(done.pk)})
    (signal,) = JobSignal.objects.all()
    assert (signal.name, signal.job_id) == ("edited", done.pk)


def test_a_reader_who_comes_back_takes_the_signal_back(
    client: Client, ada: User, done: Job
) -> None:
    client.force_login(ada)
    page = f"/jobs/{done.pk}/"
    assert client.post(f"{page}signals/", {"name": "abandoned"}).status_code == 204
    assert "data-was-left" in client.get(page).text
    assert JobSignal.objects.exists(), "opening a page changes nothing"
    assert client.post(f"{page}signals/", {"name": "read"}).status_code == 204
    assert not JobSignal.objects.exists()
    assert "data-was-left" not in client.get(page).text
    assert client.post(f"{page}signals/", {"name": "liked"}).status_code == 400
    assert client.get(f"{page}signals/").status_code == 405
