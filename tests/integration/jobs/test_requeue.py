"""The input of a failed job runs again as a new job, once, if it may run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import F
from django.db.models.functions import Now

from aifeature.models import Job, Origin, Stage, Status
from aifeature.services import controls, dispatch
from aifeature.services.controls import effective
from aifeature.services.execution.job_run import run_feature
from aifeature.services.jobs import lifecycle
from aifeature.services.jobs.lifecycle import CannotRequeueError
from aifeature.services.jobs.refusals import NotFound
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer

pytestmark = pytest.mark.usefixtures("opened")

DOCUMENT = {"document": "The parcel was lost. We sent another one on Monday."}


@pytest.fixture
def failed(make_job: MakeJob) -> Job:
    """A failed job with the code `poison`."""
    return make_job(
        status=Status.FAILED,
        finished_at=Now(),
        input=DOCUMENT,
        error_code="poison",
        error_message="We could not.",
        idempotency_key="key",
        tries=3,
        attempts=3,
        epoch=6,
        deadline_at=Now() - timedelta(hours=1),
    )


def is_refused(job: Job, sentence: str) -> None:
    with pytest.raises(CannotRequeueError, match=sentence):
        lifecycle.requeue(job_id=job.pk)
    assert Job.objects.count() == 1


def row(job: Job) -> dict[str, Any]:
    return dict(Job.objects.filter(pk=job.pk).values().get())


def test_a_failed_job_runs_again_as_a_new_job(
    committed: None, failed: Job, sandbox: SandboxServer
) -> None:
    before = row(failed)
    new = lifecycle.requeue(job_id=failed.pk)
    assert (new.user, new.feature, new.input) == (failed.user, "summarize", DOCUMENT)
    assert (new.status, new.epoch, new.tries, new.attempts) == ("queued", 0, 0, 0)
    assert (new.requeued_from_id, new.idempotency_key, new.error_code) == (failed.pk, None, "")
    left = Job.objects.filter(pk=new.pk).values_list(F("deadline_at") - Now(), flat=True).get()
    assert left > timedelta(seconds=60)
    run_feature(new.pk, worker="w")
    assert Job.objects.get(pk=new.pk).status == Status.SUCCEEDED
    assert row(failed) == before


def test_it_is_published_after_its_commit(
    failed: Job, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(dispatch, "publish", sent.extend)
    with django_capture_on_commit_callbacks(execute=True):
        new = lifecycle.requeue(job_id=failed.pk)
        assert sent == []
    assert sent == [new.pk]


def test_a_job_is_requeued_once(failed: Job) -> None:
    new = lifecycle.requeue(job_id=failed.pk)
    with pytest.raises(CannotRequeueError, match=f"It was requeued before, as job {new.pk}"):
        lifecycle.requeue(job_id=failed.pk)
    assert Job.objects.count() == 2


def test_a_requeued_job_may_be_requeued(failed: Job) -> None:
    second = lifecycle.requeue(job_id=failed.pk)
    Job.objects.filter(pk=second.pk).update(status=Status.FAILED, finished_at=Now())
    third = lifecycle.requeue(job_id=second.pk)
    assert third.requeued_from_id == second.pk


@pytest.mark.parametrize("status", ["succeeded", "cancelled", "rejected"])
def test_only_a_failed_job_is_requeued(make_job: MakeJob, status: str) -> None:
    job = make_job(status=status, finished_at=Now(), input=DOCUMENT)
    is_refused(job, f"Only a job that failed .* is {status}")


def test_a_queued_job_is_not_requeued(make_job: MakeJob) -> None:
    is_refused(make_job(input=DOCUMENT), "this one is queued")


def kill(slug: str) -> Callable[[Job], object]:
    return lambda _: effective.change(slug, {"killed": True}, reason="r", check_name="test")


def close(_job: Job) -> None:
    effective.change("summarize", {"stage": Stage.STAFF}, reason="r", check_name="test")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda job: Job.objects.filter(pk=job.pk).update(input=None), "content was blanked"),
        (kill("summarize"), "stopped by a kill switch"),
        (kill(effective.GLOBAL), "stopped by a kill switch"),
        (close, "may not use this feature at its present stage"),
    ],
)
def test_a_stopped_job_is_refused(
    failed: Job, spoil: Callable[[Job], object], sentence: str
) -> None:
    spoil(failed)
    effective.cache.clear()
    is_refused(failed, sentence)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"feature": "gone"}, "The feature gone is no longer in the code"),
        ({"input": {"text": "of an earlier release"}}, "Its input no longer fits the feature"),
    ],
)
def test_an_outdated_job_is_refused(
    make_job: MakeJob, values: dict[str, Any], sentence: str
) -> None:
    is_refused(make_job(status=Status.FAILED, finished_at=Now(), **values), sentence)


def test_an_unread_switch_stops_a_requeue(failed: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    kill("summarize")(failed)
    monkeypatch.setattr(controls, "is_paused", lambda *_: False)  # the state of half a second ago
    is_refused(failed, "stopped by a kill switch")


def test_a_missing_job_is_not_requeued() -> None:
    with pytest.raises(NotFound):
        lifecycle.requeue(job_id=uuid4())


def test_a_job_of_an_evaluation_does_not_become_a_users_job(make_job: MakeJob) -> None:
    values = {"status": Status.FAILED, "finished_at": Now(), "input": DOCUMENT}
    is_refused(make_job(origin=Origin.EVAL, **values), "resume its run")
