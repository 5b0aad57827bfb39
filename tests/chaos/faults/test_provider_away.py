"""The provider refuses all calls: jobs wait, retries are limited, users see a message."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from aifeature.models import Attempt, Job, Status
from aifeature.services.controls import breakers
from aifeature.services.execution import job_run, worker_context
from aifeature.services.execution.worker_context import WorkerContext
from aifeature.services.provider import factory
from tests.integration.job_rows import MakeJob, age, database_time
from tests.sandbox_server import SandboxServer
from workers import retry
from workers.retry_budget import FLOOR, RATIO, WINDOW_S, RetryBudget

pytestmark = [pytest.mark.usefixtures("committed", "live_prompt")]

TEXT = {"document": "Refunds are paid within 30 days. The team answered 412 questions."}


class Clock:
    """The clock of the retry budget."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    clock = Clock()
    with worker_context.using(WorkerContext(retries=RetryBudget(clock=clock))):
        yield clock


@pytest.fixture
def no_retries(clock: Clock) -> Iterator[None]:
    with worker_context.using(WorkerContext(retries=RetryBudget(floor=0, clock=clock))):
        yield


def run(job: Job) -> Job:
    job_run.run_feature(job.id, worker="test")
    job.refresh_from_db()
    return job


def run_again(job: Job) -> Job:
    age(job, run_at=timedelta(0))  # due now
    return run(job)


def test_retries_are_limited_in_an_outage_and_jobs_outlast_it(
    make_job: MakeJob, sandbox: SandboxServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With closed breakers, only the retry budget limits the calls.
    monkeypatch.setattr(breakers, "forced", lambda _model: "closed")
    factory.gate.cache_clear()
    factory.gateway.cache_clear()
    sandbox.set_faults({"kind": "overloaded"})
    jobs = [run(make_job(input=TEXT)) for _ in range(20)]
    assert len(sandbox.calls()) == 20

    sent: list[tuple[float, int]] = []
    for _ in range(25):  # seconds
        before = len(sandbox.calls())
        for job in jobs:
            run_again(job)
        sent.append((clock.now, len(sandbox.calls()) - before))
        clock.now += 1
    assert sent[0][1] == 20 * RATIO + FLOOR
    started = sent[0][0]
    for end in range(25):
        window = [n for at, n in sent if started + end - WINDOW_S < at <= started + end]
        firsts = 20 if end < WINDOW_S else 0
        assert sum(window) <= firsts * RATIO + FLOOR
    assert sum(n for _, n in sent) >= 3 * FLOOR, "the retries use the floor"
    assert {(job.status, job.tries) for job in jobs} == {(Status.QUEUED, 0)}

    sandbox.set_faults()
    clock.now += 2 * WINDOW_S
    before = len(sandbox.calls())
    assert {run_again(job).status for job in jobs} == {Status.SUCCEEDED}
    assert len(sandbox.calls()) - before == 20, "a retry with an answer makes room for the next"


def test_a_retry_without_budget_makes_no_call_and_waits(
    make_job: MakeJob, sandbox: SandboxServer, no_retries: None
) -> None:
    before = database_time()
    job = run(make_job(input=TEXT, wait_reason="provider_waiting", tries=3))
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "provider_waiting", 3)
    longest = timedelta(seconds=retry.DEFER_S)
    assert before + longest / 2 <= job.run_at <= database_time() + longest
    assert not sandbox.calls()
    assert not Attempt.objects.filter(job=job).exists()


def test_a_job_near_its_deadline_is_not_deferred_past_it(
    make_job: MakeJob,
    sandbox: SandboxServer,
    no_retries: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry, "DEFER_S", 10_000.0)  # longer than a job may wait
    job = run(make_job(input=TEXT, wait_reason="provider_waiting"))
    assert job.status == Status.QUEUED
    assert job.run_at < job.deadline_at
    monkeypatch.setattr(retry, "LAST_TRY_S", 10_000.0)
    run_again(job)
    assert (job.status, job.error_code) == (Status.FAILED, "provider_unavailable")
    assert job.error_message == ("The service is temporarily unavailable. Please try again later.")


def test_waits_after_a_rate_limit_are_spread(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random part is added to the provider's delay. Later jobs make no call meanwhile."""
    monkeypatch.setattr(job_run, "_jitter", lambda: 0.75)
    sandbox.set_faults({"kind": "rate_limited", "retry_after": 20})
    first = run(make_job(input=TEXT, attempts=5))
    refused = Attempt.objects.get()
    assert refused.ended_at is not None
    wait = (first.run_at - refused.ended_at).total_seconds()
    assert 43.9 < wait < 44.1  # 20 s and three quarters of 2 ** 5 s, in one transaction
    for _ in range(5):
        later = run(make_job(input=TEXT, attempts=5))
        assert (later.run_at - refused.ended_at).total_seconds() >= 15
        assert (later.run_at - database_time()).total_seconds() < 40
    assert Attempt.objects.count() == 1


def test_waits_grow_with_the_failed_calls_of_a_job(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_run, "_jitter", lambda: 0.5)
    sandbox.set_faults({"kind": "overloaded"})
    job = run(make_job(input=TEXT, attempts=5))
    row = Attempt.objects.get(job=job)
    assert row.ended_at is not None
    assert 15.9 < (job.run_at - row.ended_at).total_seconds() < 16.1


@pytest.mark.parametrize("kind", ["enforced_spend_limit", "contract_spend_limit", "permission"])
def test_a_permanent_refusal_is_not_retried(
    make_job: MakeJob, sandbox: SandboxServer, kind: str
) -> None:
    sandbox.set_faults({"kind": kind, "times": 1})
    job = run(make_job(input=TEXT))
    assert (job.status, job.error_code) == (Status.FAILED, "provider_refused")
    assert Attempt.objects.filter(job=job).count() == 1


def test_a_wait_longer_than_the_deadline_ends_the_job(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    sandbox.set_faults({"kind": "rate_limited", "retry_after": 86_400})
    job = run(make_job(input=TEXT))
    assert (job.status, job.error_code) == (Status.FAILED, "provider_unavailable")


def test_calls_that_may_be_billed_have_few_retries(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    sandbox.set_faults({"kind": "connection_cut"})
    job = run(make_job(input=TEXT))
    for _ in range(6):
        if job.status == Status.QUEUED:
            run_again(job)
    assert (job.status, job.error_code) == (Status.FAILED, "provider_unavailable")
    assert len(sandbox.calls()) == 5


@pytest.mark.usefixtures("opened")
def test_the_user_sees_until_when_we_keep_trying(
    make_job: MakeJob, sandbox: SandboxServer, ada: User, client: Client
) -> None:
    sandbox.set_faults({"kind": "overloaded"})
    job = run(make_job(input=TEXT))
    sentence = (
        f"The service is temporarily unavailable. We keep trying until {job.deadline_at:%H:%M} UTC."
    )
    client.force_login(ada)
    page_url = reverse("job", kwargs={"job_id": job.id})

    shown = client.get(f"/api/v1/jobs/{job.id}").json()
    assert (shown["status"], shown["error"]) == (
        "queued",
        {"code": "provider_waiting", "message": sentence},
    )
    page = client.get(page_url).content.decode()
    assert f'data-message="{sentence}"' in page
    assert f"data-sentence>{sentence}<" in page

    age(job, deadline_at=timedelta(seconds=1))
    run_again(job)
    shown = client.get(f"/api/v1/jobs/{job.id}").json()
    assert (shown["status"], shown["error"]) == (
        "failed",
        {
            "code": "provider_unavailable",
            "message": "The service is temporarily unavailable. Please try again later.",
        },
    )
    page = client.get(page_url).content.decode()
    assert "Please try again later.<" in page
    assert sentence not in page
