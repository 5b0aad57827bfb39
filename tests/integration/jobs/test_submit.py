"""An accepted job is durable, one per key, and each refusal names its reason."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection

from aifeature.models import Job, Stage, submission
from aifeature.services import dispatch
from aifeature.services.controls import effective
from aifeature.services.jobs import lifecycle
from aifeature.services.jobs.refusals import (
    FeaturePaused,
    IdempotencyConflict,
    InputTooLarge,
    InvalidInput,
    NotFound,
)

INPUT = {"document": "  Refunds take 30 days.  "}


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """The ids of published jobs. The broker has tests of its own."""
    sent: list[uuid.UUID] = []

    def publish(ids: list[uuid.UUID]) -> int:
        assert not connection.in_atomic_block, "published before the commit"
        sent.extend(ids)
        return len(ids)

    monkeypatch.setattr(dispatch, "publish", publish)
    return sent


pytestmark = pytest.mark.usefixtures("committed", "published", "opened")


def submit(user: User, data: Any = INPUT, key: str | None = None) -> lifecycle.Submission:
    return lifecycle.submit(user=user, slug="summarize", data=data, key=key)


def test_a_job_is_stored_then_published(ada: User, published: list[uuid.UUID]) -> None:
    job = submit(ada).job
    stored = Job.objects.get()
    assert stored.pk == job.pk
    assert (stored.status, stored.user, stored.input) == (
        "queued",
        ada,
        {"document": "Refunds take 30 days."},
    )
    assert (stored.deadline_at - stored.created_at).total_seconds() == pytest.approx(300, abs=1)
    assert published == [job.pk]


def test_once_it_is_stored_the_database_may_go(
    ada: User, published: list[uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No outage after the commit turns an accepted job into a refusal."""
    store = submission.store

    def then_gone(*arguments: Any, **options: Any) -> submission.Outcome:
        outcome = store(*arguments, **options)
        monkeypatch.setattr(connection, "connect", gone)
        return outcome

    def gone() -> None:
        raise OperationalError

    monkeypatch.setattr(submission, "store", then_gone)
    job = submit(ada).job
    monkeypatch.undo()
    assert Job.objects.get().pk == job.pk
    assert published == [job.pk]


def test_the_same_key_and_body_return_the_same_job(ada: User, published: list[uuid.UUID]) -> None:
    first = submit(ada, key="k")
    again = submit(ada, key="k")
    assert (first.replayed, again.replayed) == (False, True)
    assert first.job.pk == again.job.pk
    assert Job.objects.count() == 1
    assert len(published) == 1


def test_a_replay_comes_before_everything_else(ada: User) -> None:
    first = submit(ada, key="k")
    effective.change("summarize", {"stage": Stage.OFF}, reason="t", check_name="t")
    assert submit(ada, key="k").job.pk == first.job.pk


def test_the_same_key_and_another_body_conflict(ada: User) -> None:
    submit(ada, key="k")
    with pytest.raises(IdempotencyConflict):
        submit(ada, {"document": "Another."}, key="k")


def test_a_key_belongs_to_its_user(ada: User, bob: User) -> None:
    assert submit(ada, key="k").job.pk != submit(bob, key="k").job.pk


def test_without_a_key_every_submission_is_a_job(ada: User) -> None:
    assert submit(ada).job.pk != submit(ada).job.pk


def test_concurrent_submissions_of_a_key_make_one_job(ada: User) -> None:
    barrier = threading.Barrier(8)
    found: list[uuid.UUID] = []

    def one() -> None:
        barrier.wait()
        found.append(submit(ada, key="race").job.pk)
        connection.close()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert Job.objects.count() == 1


@pytest.mark.parametrize("slug", ["no-such", "SUMMARIZE", "../x", ""])
def test_an_unknown_feature_is_not_found(ada: User, slug: str) -> None:
    with pytest.raises(NotFound):
        lifecycle.submit(user=ada, slug=slug, data=INPUT)


def test_an_unopened_feature_is_not_found(ada: User) -> None:
    effective.change("summarize", {"stage": Stage.OFF}, reason="t", check_name="t")
    with pytest.raises(NotFound):
        submit(ada)
    assert lifecycle.visible_features(user=ada) == []


def test_a_paused_feature_refuses_with_a_retry_time(ada: User) -> None:
    effective.change("summarize", {"killed": True}, reason="t", check_name="t")
    with pytest.raises(FeaturePaused) as refusal:
        submit(ada)
    assert refusal.value.retry_after_s


def test_the_switch_of_everything_pauses_each_feature(ada: User) -> None:
    effective.change(effective.GLOBAL, {"killed": True}, reason="t", check_name="t")
    with pytest.raises(FeaturePaused):
        submit(ada)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "document"),
        ({"document": ""}, "document"),
        ({"document": "   "}, "document"),
        ({"document": 5}, "document"),
        ({"document": "a", "more": 1}, "input"),
        ({"document": "x" * 400_001}, "document"),
        ([], "input"),
        (None, "input"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_wrong_input_names_its_field(ada: User, data: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        submit(ada, data)
    assert [error["field"] for error in refusal.value.errors] == [field]
    assert not Job.objects.exists()


def test_an_input_that_cannot_be_stored_is_refused(ada: User) -> None:
    for text in ("a\x00b", "lone \ud800 surrogate"):
        with pytest.raises(InvalidInput) as refusal:
            submit(ada, {"document": text})
        (error,) = refusal.value.errors
        assert error["field"] == "document"
        assert "NUL" in error["message"]
    assert not Job.objects.exists()


def test_an_input_that_is_too_large_is_refused(ada: User) -> None:
    with pytest.raises(InputTooLarge, match="1,000,000"):
        submit(ada, {"document": "é" * 600_000})


def test_jobs_are_read_listed_and_cancelled_by_their_owner_alone(ada: User, bob: User) -> None:
    job = submit(ada).job
    for action in (lifecycle.get, lifecycle.cancel):
        with pytest.raises(NotFound):
            action(user=bob, job_id=job.pk)
    assert lifecycle.page(user=bob, limit=10).jobs == []
    assert lifecycle.get(user=ada, job_id=job.pk).status == "queued"
    assert lifecycle.cancel(user=ada, job_id=job.pk).status == "cancelled"


def test_pages_show_every_job_once_newest_first(ada: User) -> None:
    made = [submit(ada).job.pk for _ in range(7)]
    Job.objects.filter(pk__in=made[:3]).update(created_at=Job.objects.get(pk=made[0]).created_at)
    seen: list[uuid.UUID] = []
    after = None
    while True:
        page = lifecycle.page(user=ada, limit=2, after=after)
        seen += [job.pk for job in page.jobs]
        if (after := page.next_after) is None:
            break
    assert sorted(seen) == sorted(made)
    assert seen[:4] == made[:2:-1]
