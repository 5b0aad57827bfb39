"""Ratings, signals and outcomes in the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client

from aifeature.models import ApiToken, Feedback, Job, JobSignal, Status
from aifeature.services.feedback import outcomes, signals, votes
from aifeature.services.feedback.refusals import NotRateable
from aifeature.services.privacy import retention
from tests.integration.api.api_jobs import bearer, job, problem
from tests.integration.conftest import wait_until_blocked

RESULT = {"summary": "Lost.", "key_facts": ["Resent"]}


@pytest.fixture
def done(ada: User) -> Job:
    return job(ada, Status.SUCCEEDED, result=RESULT, model="m", prompt_version="v3")


def send(client: Client, what: Job | str, body: Any, tail: str = "feedback") -> Any:
    path = f"jobs/{what.pk}/{tail}" if isinstance(what, Job) else what
    text = body if isinstance(body, bytes) else json.dumps(body)
    return client.post(f"/api/v1/{path}", text, content_type="application/json")


def test_a_rating_is_stored_with_the_answer_and_can_be_changed(ada: User, done: Job) -> None:
    client = bearer(ada)
    link = client.get(f"/api/v1/jobs/{done.pk}").json()["links"]["feedback"]
    assert link == f"/api/v1/jobs/{done.pk}/feedback"
    problem(client.get(link), 404, "no_feedback")
    mail = "Ask an\u200bna.berg@example.org."
    first = {"rating": -1, "reasons": ["too_long", "wrong"], "comment": mail}
    body = send(client, done, first).json()
    assert set(body) == {"job", "rating", "reasons", "comment", "created_at", "changed_at"}
    assert (body["rating"], body["reasons"]) == (-1, ["wrong", "too_long"])
    assert body["comment"] == "Ask [EMAIL_1]."
    assert client.get(link).json() == body
    second = send(client, done, {"rating": 1}).json()
    assert (second["rating"], second["reasons"], second["comment"]) == (1, [], "")
    assert second["changed_at"] > second["created_at"] == body["created_at"]
    row = Feedback.objects.get()
    assert (row.first_rating, row.answer, row.prompt_version, row.model) == (-1, RESULT, "v3", "m")


def test_bad_ratings_are_refused_and_store_nothing(ada: User, bob: User, done: Job) -> None:
    client = bearer(ada)
    failed = job(ada, Status.FAILED, error_code="x")
    _, other = ApiToken.issue(user_id=ada.pk, name="t", features=["triage"])
    _, reader = ApiToken.issue(user_id=ada.pk, name="r", may_submit=False)
    tokens = [Client(headers={"authorization": f"Bearer {text}"}) for text in (other, reader)]
    up: dict[str, Any] = {"rating": 1}
    table: list[tuple[Client, Job, Any, int, str]] = [
        (bearer(bob), done, up, 404, "not_found"),
        (tokens[0], done, up, 404, "not_found"),
        (tokens[1], done, up, 403, "token_scope"),
        (client, job(ada, Status.RUNNING), up, 409, "job_not_ended"),
        (client, job(ada, Status.NEEDS_APPROVAL), up, 409, "job_not_ended"),
        (client, job(ada, Status.CANCELLED), up, 409, "not_rateable"),
        (client, job(ada, Status.REJECTED), up, 409, "not_rateable"),
        (client, job(ada, Status.SUCCEEDED), up, 409, "not_rateable"),
        (client, failed, up, 422, "invalid_input"),
        (client, failed, {"rating": -1, "reasons": ["wrong"]}, 422, "invalid_input"),
        *((client, done, {"rating": bad}, 422, "invalid_input") for bad in BAD_RATINGS),
        (client, done, {}, 422, "invalid_input"),
        (client, done, [1], 422, "invalid_input"),
        (client, done, {**up, "MARK": 1}, 422, "invalid_input"),
        (client, done, {**up, "reasons": ["wrong"]}, 422, "invalid_input"),
        (client, done, {**up, "reasons": ["MARK"]}, 422, "invalid_input"),
        (client, done, {**up, "comment": None}, 422, "invalid_input"),
        (client, done, {**up, "comment": "x" * 2_001}, 422, "invalid_input"),
        (client, done, {**up, "comment": "x" * 1_000_000}, 413, "input_too_large"),
        (client, done, b'{"rating": 1', 400, "invalid_json"),
        (client, done, b'{"rating": 1, "rating": -1}', 422, "invalid_input"),
    ]
    for visitor, target, body, status, code in table:
        answer = send(visitor, target, body)
        problem(answer, status, code)
        assert "MARK" not in answer.text
        if "xxx" in str(body):
            assert "2,000 characters" in answer.text
    problem(send(client, f"jobs/{uuid4()}/feedback", up), 404, "not_found")
    problem(client.post(f"/api/v1/jobs/{done.pk}/feedback", up), 415, "unsupported_media_type")
    assert not Feedback.objects.exists()
    assert send(client, failed, {"rating": -1, "comment": "Again."}).status_code == 200
    assert send(client, done, {**up, "comment": "\U0001f600" * 2_000}).status_code == 200


CARD = "card_4111111111111111"
BAD_RATINGS = (5, 0, -2, "great", "1", True, 1.0, None, [1])


@pytest.mark.usefixtures("committed")
def test_simultaneous_first_ratings_are_one_row(ada: User, done: Job) -> None:
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            votes.rate(user=ada, job_id=done.pk, rating=1)
            other = pool.submit(in_thread, lambda: votes.rate(user=ada, job_id=done.pk, rating=-1))
            wait_until_blocked()
        other.result(60)
    row = Feedback.objects.get()
    assert (row.rating, row.first_rating) == (-1, 1)


@pytest.mark.usefixtures("committed")
def test_a_rating_during_the_deletion_of_the_content_is_refused(ada: User, done: Job) -> None:
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert retention.blank_expired(days=lambda _: 0) == 1
            other = pool.submit(
                in_thread,
                lambda: votes.rate(user=ada, job_id=done.pk, rating=-1, comment="It stays."),
            )
            wait_until_blocked()
        with pytest.raises(NotRateable):
            other.result(60)
    assert not Feedback.objects.exists()


def in_thread(act: Callable[[], Any]) -> Any:
    try:
        return act()
    finally:
        connection.close()


def test_signals_are_noted_once_and_dropped_when_busy(ada: User, bob: User, done: Job) -> None:
    client, open_job = bearer(ada), job(ada, Status.RUNNING)

    def note(name: str, target: Job = done, by: Client = client) -> Any:
        return send(by, target, {"name": name}, "signals")

    for _ in range(2):
        assert note("copied").status_code == 204
    assert note("abandoned", open_job).status_code == 204
    problem(note("copied", open_job), 409, "job_not_ended")
    problem(note("copied", by=bearer(bob)), 404, "not_found")
    problem(note("liked"), 422, "invalid_input")
    assert set(JobSignal.objects.values_list("name", "job")) == {
        ("copied", done.pk),
        ("abandoned", open_job.pk),
    }
    assert signals.was_left(open_job)
    for _ in range(signals._AT_ONCE):
        signals._places.acquire()
    try:
        assert note("regenerated").status_code == 204
    finally:
        for _ in range(signals._AT_ONCE):
            signals._places.release()
    assert JobSignal.objects.count() == 2


def test_outcomes_count_once_and_reveal_no_feature(
    ada: User, bob: User, done: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = bearer(ada)

    def report(body: Any, target: Job | str = "outcomes", by: Client = client) -> Any:
        return send(by, target, body, "outcomes")

    closed = {"name": "ticket_closed"}
    for _ in range(2):
        assert report(closed, done).status_code == 204
        for feature in ("summarize", "triage", "no_such_feature"):  # none is open to ada
            answer = report({**closed, "feature": feature})
            assert (answer.status_code, answer.content) == (204, b"")
    problem(report(closed, done, bearer(bob)), 404, "not_found")
    for bad in (CARD, "Ticket", "ticket closed", "9", "x" * 41, "", 1, None):
        problem(report({"name": bad}, done), 422, "invalid_input")
        problem(report({"name": "ok", "feature": bad}), 422, "invalid_input")
    _, other = ApiToken.issue(user_id=ada.pk, name="t", features=["triage"])
    scoped = Client(headers={"authorization": f"Bearer {other}"})
    problem(report({**closed, "feature": "summarize"}, by=scoped), 403, "token_scope")
    found = JobSignal.objects.order_by("pk").values_list("feature", "job", "kind")
    assert list(found) == [
        ("summarize", done.pk, "outcome"),
        ("summarize", None, "outcome"),
        ("triage", None, "outcome"),
    ]
    monkeypatch.setattr(outcomes, "MOST_A_DAY", 4)
    assert outcomes.record(user=ada, feature="triage", name="reopened")
    assert not outcomes.record(user=ada, feature="triage", name="called")
    assert not outcomes.record_of_job(user=ada, job_id=done.pk, name="called")
    assert outcomes.record(user=bob, feature="triage", name="called")
