"""A user who cancels keeps the text of all calls and runs, and pays for the cancelled call only."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from aifeature.models import Attempt, AttemptState, CancelledBy, Job, transitions
from aifeature.models.transitions import Claimed, Settlement
from aifeature.reasons import WaitReason
from aifeature.services.execution import job_run, outcomes
from aifeature.services.execution.outcomes import CancelledByUser, Requeue
from aifeature.services.jobs import lifecycle
from aifeature.services.spend import reconciler
from aifeature.services.streams import writer
from aifeature.services.streams.writer import JobStream
from tests.integration.job_rows import MakeJob, age, begin, claim

TEXTS = [
    "The parcel for Lisbon",
    "Grüße \N{CAT FACE} and “quotes”, \\ and\nlines",
    "<script>alert(1)</script>",
    "x" * 5_000,
]


def write(run_of: Claimed, text: str) -> None:
    """Write the beginning of an answer, as a worker does."""
    with writer.process().open(run_of.job, run_of.epoch, "summary") as stream:
        write_to(stream, text)


def write_to(stream: JobStream, text: str) -> None:
    sink = stream.sink()
    assert sink is not None
    sink(json.dumps({"summary": text}).removesuffix('"}'))
    writer.process().flush()
    assert stream.confirmed() == text


def interrupted(make_job: MakeJob, *texts: str) -> Job:
    """A job that waits again after runs that were interrupted, each after some text."""
    job = make_job()
    for text in texts:
        begun = claim(job)
        if text:
            write(begun, text)
        transitions.return_to_queue(begun, delay_s=0, counts_as_try=False)
    job.refresh_from_db()
    return job


def kept(job: Job) -> tuple[str, str, int]:
    job.refresh_from_db()
    return job.status, job.partial_text, job.charge_micro


@pytest.mark.parametrize("text", TEXTS)
def test_a_waiting_job_keeps_interrupted_text(make_job: MakeJob, ada: User, text: str) -> None:
    job = interrupted(make_job, text)
    assert job.status == "queued"
    lifecycle.cancel(user=ada, job_id=job.pk)
    assert kept(job) == ("cancelled", text, 0)
    visitor = Client()
    visitor.force_login(ada)
    assert visitor.get(f"/api/v1/jobs/{job.pk}").json()["partial_text"] == text
    page = visitor.get(f"/jobs/{job.pk}/").text
    assert "<script>alert(1)" not in page
    assert "counts towards" not in page, "it is free"


def test_the_latest_run_that_wrote_any_text_counts(make_job: MakeJob, ada: User) -> None:
    job = interrupted(make_job, "The first words.", "The second words.", "", "")
    lifecycle.cancel(user=ada, job_id=job.pk)
    assert kept(job) == ("cancelled", "The second words.", 0)


def _by_staff(job: Job) -> None:
    transitions.cancel(
        job.pk, user_id=job.user_id, message="No.", by=CancelledBy.STAFF, shown="Some words."
    )


def _by_a_stranger(job: Job) -> None:
    transitions.cancel(job.pk, user_id=job.user_id + 1, message="No.", shown="Some words.")


@pytest.mark.parametrize("cancel", [_by_staff, _by_a_stranger])
def test_only_the_user_keeps_text(make_job: MakeJob, cancel: Callable[[Job], None]) -> None:
    job = interrupted(make_job, "Some words.")
    cancel(job)
    assert kept(job)[1:] == ("", 0)


def test_a_job_whose_worker_was_lost_keeps_its_text(make_job: MakeJob, ada: User) -> None:
    job = make_job()
    write(claim(job, worker="llm@gone/1"), "Some words.")
    assert lifecycle.cancel(user=ada, job_id=job.pk).status == "running"
    age(job, lease_until=timedelta(seconds=1))
    job_run.run_feature(job.pk, worker="test")
    assert kept(job) == ("cancelled", "Some words.", 0)


def test_a_run_requeued_during_a_cancellation_keeps_text(make_job: MakeJob, ada: User) -> None:
    job = make_job()
    begun = claim(job)
    lifecycle.cancel(user=ada, job_id=job.pk)
    later = Requeue(1.0, counts_as_try=False, reason=WaitReason.INTERRUPTED, shown="Some words.")
    outcomes.record(begun, later, for_s=1)
    assert kept(job) == ("cancelled", "Some words.", 0)


def test_text_under_repair_is_kept_free_of_charge(make_job: MakeJob, ada: User) -> None:
    job = make_job()
    begun = claim(job)
    attempt = begin(begun)
    lifecycle.cancel(user=ada, job_id=job.pk)
    with writer.process().open(begun.job, begun.epoch, "summary") as stream:
        write_to(stream, "Some words.")
        stream.sink()  # the repair, of which no text has come
        assert stream.delivered() == ""
        ended = Settlement(attempt, AttemptState.UNKNOWN, ended_by="user")
        outcome = job_run._with_shown(CancelledByUser(ended), begun, stream)
    outcomes.record(begun, outcome, for_s=1)
    assert kept(job) == ("cancelled", "Some words.", 0)
    assert Attempt.objects.get().own_spend
    assert reconciler.check().ok, "windows are the sum of the ledger"


def test_a_job_is_cancelled_without_redis(make_job: MakeJob, ada: User, settings: Any) -> None:
    job = interrupted(make_job, "Some words.")
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    lifecycle.cancel(user=ada, job_id=job.pk)
    assert kept(job) == ("cancelled", "", 0)
