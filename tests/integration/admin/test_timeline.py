"""The page of a job shows its timeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from aifeature.admin.jobs.timeline import SHOWN, timeline
from aifeature.models import AttemptState, Job, Status
from tests.integration.admin.conftest import MakeAttempt, MakeJob, Staff


def address(job: Job) -> str:
    return reverse("admin:aifeature_job_change", args=(job.pk,))


def titles(job: Job) -> list[str]:
    job.refresh_from_db()
    return [moment.title for moment in timeline(job, job.ledger.order_by("number"))]


@pytest.fixture
def life(make_job: MakeJob, make_attempt: MakeAttempt) -> Job:
    """A job that failed once, lost its worker once, and then succeeded."""
    begun = datetime.now(UTC)

    def at(seconds: float) -> datetime:
        return begun + timedelta(seconds=seconds)

    job = make_job(
        created_at=begun,
        published_at=at(0.01),
        started_at=at(0.02),
        finished_at=at(90),
        status=Status.SUCCEEDED,
        result={"summary": "Two <b>sentences</b>."},
        epoch=3,
        attempts=3,
        model="claude-haiku-5-5",
        prompt_version="v3",
        charge_micro=1_250,
    )
    make_attempt(
        job,
        number=1,
        state=AttemptState.FAILED,
        error_code="overloaded",
        error_detail="<i>busy</i>",
        output="",
        cost_micro=0,
        latency_ms=1_500,
        started_at=at(1),
    )
    make_attempt(
        job, number=2, state=AttemptState.UNKNOWN, cost_micro=0, output="", started_at=at(30)
    )
    make_attempt(
        job,
        number=3,
        started_at=at(80),
        latency_ms=2_000,
        ttft_ms=300,
        input_tokens=5_300,
        output_tokens=180,
        request={"system": "RULES", "messages": [{"role": "user", "content": "<u>ask</u>"}]},
    )
    job.refresh_from_db()
    return job


def test_the_timeline_is_in_the_order_of_time(life: Job) -> None:
    assert titles(life) == [
        *("Submitted", "Published", "First claimed by a worker"),
        *(f"Call {n}: generation, claude-haiku-5-5" for n in (1, 2, 3)),
        "Succeeded",
    ]


def test_each_call_shows_its_outcome_time_tokens_and_cost(page: Client, life: Job) -> None:
    text = page.get(address(life)).text
    assert "overloaded · 1.5 s · 0 in, 0 out tokens · $0.00" in text
    assert "counted at its upper bound, $0.0990" in text
    assert "2.0 s (first text after 300 ms) · 5,300 in, 180 out tokens · $0.0013" in text
    assert "after 1 min 30 s" in text
    assert "$0.100250" in text  # spent: the unknown call's bound and the last call's cost
    for part in ("RULES", "&lt;u&gt;ask&lt;/u&gt;", "&lt;i&gt;busy&lt;/i&gt;"):
        assert part in text
    for raw in ("<u>ask", "<i>busy", "Two <b>"):
        assert raw not in text


@pytest.mark.parametrize(
    ("saved", "shown"),
    [(7_500, "$0.007500 saved by the cache"), (-40, "$0.000040 spent on filling the cache")],
)
def test_a_call_shows_the_effect_of_the_cache(
    page: Client, make_job: MakeJob, make_attempt: MakeAttempt, saved: int, shown: str
) -> None:
    job = make_job()
    make_attempt(job, cache_saved_micro=saved)
    assert shown in page.get(address(job)).text


def test_a_waiting_job_shows_its_next_run_and_its_deadline(make_job: MakeJob) -> None:
    assert titles(make_job()) == ["Submitted", "Deadline"]
    back = make_job(epoch=2, wait_reason="provider_waiting")
    Job.objects.filter(pk=back.pk).update(run_at=back.deadline_at - timedelta(seconds=9))
    assert titles(back) == ["Submitted", "Due again", "Deadline"]


def test_a_running_job_shows_its_lease(make_job: MakeJob) -> None:
    job = make_job()
    soon = job.deadline_at - timedelta(seconds=200)
    Job.objects.filter(pk=job.pk).update(status=Status.RUNNING, lease_until=soon, epoch=1)
    assert titles(job) == ["Submitted", "Lease ends", "Deadline"]


def test_the_message_the_user_reads_stands_on_top(page: Client, make_job: MakeJob) -> None:
    job = make_job(status=Status.FAILED, error_code="poison", error_message="It is <odd>.")
    text = page.get(address(job)).text
    assert "Message to the user" in text
    assert "It is &lt;odd&gt;." in text


def test_a_long_text_is_cut(page: Client, make_job: MakeJob, make_attempt: MakeAttempt) -> None:
    job = make_job()
    call = make_attempt(job, output="x" * (SHOWN + 7) + "THE END", request=None)
    text = page.get(address(job)).text
    assert "14 more characters" in text
    assert "THE END" not in text
    assert "THE END" in page.get(reverse("admin:aifeature_attempt_change", args=(call.pk,))).text


def test_calls_need_their_permission(staff: Staff, life: Job) -> None:
    for permissions, seen in ((("view_job",), False), (("view_job", "view_attempt"), True)):
        text = staff(*permissions).get(address(life)).text
        assert "Submitted" in text
        assert ("RULES" in text) is seen
        assert ("overloaded" in text) is seen
        assert ("Spent with the provider" in text) is seen
