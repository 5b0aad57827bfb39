"""The database refuses wrong changes of jobs and audit rows from any writer."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Now

from aifeature.models import (
    TERMINAL,
    Attempt,
    AttemptState,
    ControlChange,
    Job,
    Status,
    transitions,
)
from aifeature.models.transitions import Claimed, Settlement
from aifeature.services.controls import effective
from tests.integration.job_rows import MakeCall, MakeJob, begin, claim
from tests.integration.models.guarded_rows import SECRET, change, of_status, other, refused

pytestmark = pytest.mark.django_db

LIVES = {
    Status.QUEUED: {Status.RUNNING, Status.FAILED, Status.CANCELLED},
    Status.RUNNING: {
        *(Status.QUEUED, Status.NEEDS_APPROVAL, Status.SUCCEEDED, Status.FAILED),
        Status.CANCELLED,
    },
    Status.NEEDS_APPROVAL: {Status.SUCCEEDED, Status.REJECTED, Status.CANCELLED, Status.FAILED},
}
JOB_CONTENT = {
    *("input", "result", "partial_text", "error_message", "idempotency_key", "request_digest"),
    "approval_reason",
}
WRITTEN_ONCE = {"content_blanked_at"}
JOB_FIELDS = [f.name for f in Job._meta.concrete_fields if f.name not in WRITTEN_ONCE]


@pytest.fixture
def ended(make_job: MakeJob) -> Job:
    """An ended job with a value in each column."""
    return make_job(
        **of_status(Status.SUCCEEDED),
        input={"document": SECRET},
        result={"summary": SECRET},
        error_message=SECRET,
        idempotency_key="key",
        request_digest="d" * 64,
        epoch=3,
        charge_micro=5,
    )


@pytest.mark.parametrize(("old", "new"), list(product(Status, Status)))
def test_a_job_makes_only_allowed_transitions(make_job: MakeJob, old: Status, new: Status) -> None:
    job = make_job(**of_status(old))
    values = {**of_status(new), "epoch": F("epoch") + 1}
    if new in LIVES.get(old, ()) or (old is new and old not in TERMINAL):
        change(job, **values)
        job.refresh_from_db()
        assert job.status == new
    else:
        message = refused(job, f"aifeature_job {job.pk}: changing ", **values)
        assert old is new or f"status from {old.value} to {new.value}" in message


@pytest.mark.parametrize("name", JOB_FIELDS)
def test_no_column_of_an_ended_job_changes(ended: Job, name: str) -> None:
    refused(ended, "A job that has ended stays as it is", **{name: other(ended, name)})


def test_a_new_column_is_guarded_immediately(ended: Job) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE aifeature_job ADD COLUMN later integer")
        with pytest.raises(IntegrityError, match="changing later is refused"):
            cursor.execute("UPDATE aifeature_job SET later = 1")


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_the_content_of_an_ended_job_may_be_emptied(make_job: MakeJob, status: Status) -> None:
    job = make_job(
        **of_status(status),
        result={"a": 1},
        idempotency_key="k",
        request_digest="d",
        approval_reason="r",
    )
    empty = {"input": None, "result": None, "idempotency_key": None}
    change(job, error_message="", request_digest="", approval_reason="", **empty)
    job.refresh_from_db()
    assert (job.input, job.result, job.idempotency_key, job.request_digest) == (None,) * 3 + ("",)
    for name in sorted(JOB_CONTENT):
        refused(job, f"changing {name} is refused", **{name: other(job, name)})


def test_json_null_is_no_emptied_content(ended: Job) -> None:
    refused(ended, "changing input", input=Value(None, models.JSONField()))


def test_the_time_of_blanking_is_written_once(ended: Job) -> None:
    change(ended, content_blanked_at=Now())
    for later in (Now() - timedelta(days=1), None):
        refused(ended, "changing content_blanked_at is refused", content_blanked_at=later)


@pytest.mark.parametrize("name", ["id", "user", "feature"])
def test_a_job_keeps_its_identity(make_job: MakeJob, name: str) -> None:
    job = make_job()
    refused(
        job,
        "A job keeps its id, its user, its feature, its origin and its options",
        **{name: other(job, name)},
    )


@pytest.mark.parametrize(
    "values",
    [
        {"epoch": 0},
        {"worker": "another"},
        {"status": Status.QUEUED, "lease_until": None},
    ],
)
def test_the_fence_of_a_job_is_never_lowered(claimed: Claimed, values: dict[str, Any]) -> None:
    refused(Job.objects.get(), "The epoch never falls", **values)


def test_no_claim_without_a_new_epoch(make_job: MakeJob) -> None:
    refused(make_job(), "The epoch never falls", **of_status(Status.RUNNING))


def answered(claimed: Claimed) -> Settlement:
    return Settlement(begin(claimed), AttemptState.SETTLED, cost_micro=700)


def in_review(claimed: Claimed) -> Job:
    call = answered(claimed)
    transitions.await_approval(claimed, {}, reason="A refund.", expires_s=60, settlement=call)
    return Job.objects.get(pk=claimed.job)


@pytest.mark.parametrize("to", sorted(LIVES[Status.RUNNING] - {Status.SUCCEEDED}))
def test_only_an_accepted_answer_is_charged(claimed: Claimed, to: Status) -> None:
    job = Job.objects.get(pk=claimed.job)
    refused(job, "A job is charged once", **of_status(to), charge_micro=1, epoch=F("epoch") + 1)


@pytest.mark.parametrize("to", sorted(LIVES[Status.NEEDS_APPROVAL]))
def test_an_answer_is_charged_when_it_is_approved(claimed: Claimed, to: Status) -> None:
    job = in_review(claimed)
    assert job.charge_micro == 0
    refused(job, "A job is charged once", charge_micro=700)
    ends = {**of_status(to), "charge_micro": 700}
    if to is Status.CANCELLED:  # shown text is of a run, and nothing was shown of this answer
        ends |= {"cancelled_by": "user", "partial_text": "T"}
    if to is Status.SUCCEEDED:
        change(job, **ends)
        assert Job.objects.get(pk=job.pk).charge_micro == 700
    else:
        refused(job, "A job is charged once", **ends)


def test_a_charge_never_changes(claimed: Claimed) -> None:
    transitions.finish(claimed, Status.SUCCEEDED, result={}, settlement=answered(claimed))
    refused(Job.objects.get(), "A job that has ended stays as it is", charge_micro=701)


def test_a_job_that_needs_approval_has_an_end(claimed: Claimed) -> None:
    message = "has a time at which it expires"
    job = Job.objects.get(pk=claimed.job)
    refused(job, message, **of_status(Status.NEEDS_APPROVAL) | {"approval_expires_at": None})
    refused(in_review(claimed), message, approval_expires_at=None)


def test_a_failed_run_is_not_charged(claimed: Claimed) -> None:
    job = Job.objects.get()
    refused(job, "A job is charged once", **of_status(Status.FAILED), charge_micro=1)
    refused(job, "A job is charged once", charge_micro=1)


@pytest.mark.parametrize(
    ("status", "charge"), [(Status.QUEUED, 1), (Status.RUNNING, 1), (Status.SUCCEEDED, -1)]
)
def test_no_job_is_born_with_a_charge(make_job: MakeJob, status: Status, charge: int) -> None:
    with pytest.raises(IntegrityError, match="job_charged_only_for_an_answer"):
        make_job(**of_status(status), charge_micro=charge)


def test_the_audit_log_only_grows(opened: None) -> None:
    row = ControlChange.objects.latest("at")
    before = ControlChange.objects.count()
    refused(row, "The audit trail is only added to", reason="Another.")
    effective.change("summarize", {"percent": 5}, reason="More.", check_name="test")
    assert ControlChange.objects.count() == before + 1


def test_no_record_is_deleted(ended: Job, make_call: MakeCall, opened: None) -> None:
    records: list[models.Model] = [ended, make_call(), ControlChange.objects.latest("at")]
    for row in records:
        with (
            pytest.raises(IntegrityError, match=f"{row.pk}: deleting it is refused"),
            transaction.atomic(),
        ):
            row.delete()
        row.refresh_from_db()


def test_a_refusal_contains_no_content(ended: Job, make_call: MakeCall) -> None:
    message = refused(ended, "changing", result={"other": SECRET}, error_message=f"not {SECRET}")
    message += refused(make_call(), "changing", output=f"not {SECRET}", request={"x": SECRET})
    assert "error_message, result" in message
    assert SECRET not in message


def test_a_whole_life_passes_the_guards(make_job: MakeJob) -> None:
    """The job is claimed, returned, taken over and approved, with each end of a call."""
    job = make_job()
    first = claim(job)
    transitions.settle(first, Settlement(begin(first), AttemptState.FAILED))
    transitions.return_to_queue(first, delay_s=0, counts_as_try=True, message="Wait.")
    second = claim(job)
    begin(second)
    change(job, lease_until=Now() - timedelta(seconds=1))
    third = claim(job, worker="w2")
    done = in_review(third)
    change(done, **of_status(Status.SUCCEEDED), charge_micro=700)
    done.refresh_from_db()
    assert (done.status, done.charge_micro, done.epoch) == ("succeeded", 700, 4)
    states = Attempt.objects.order_by("number").values_list("state", flat=True)
    assert list(states) == ["failed", "unknown", "settled"]
