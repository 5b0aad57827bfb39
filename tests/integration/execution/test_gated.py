"""A job waits if the rate gate, a budget or its user's other calls refuse its call."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.models import F
from django.db.models.functions import Now

from aifeature import registry
from aifeature.models import Attempt, AttemptState, Job, SpendWindow, Status, transitions
from aifeature.models.transitions import Settlement
from aifeature.reasons import WaitReason
from aifeature.services.controls import effective
from aifeature.services.execution import outcomes, worker_context
from aifeature.services.execution.job_run import LEAST_CALL_S
from aifeature.services.execution.worker_context import WorkerContext
from aifeature.services.provider import factory
from aifeature.services.texts import WAITING
from tests.integration.conftest import empty_gates
from tests.integration.execution.test_job_run import again, held, run, summarise
from tests.integration.job_rows import MakeJob, begin, claim, database_time
from tests.sandbox_server import SandboxServer
from workers.inference import Billing, ProviderFault
from workers.inference.breaker import BreakerPolicy
from workers.inference.token_bucket import SECOND
from workers.retry_budget import RetryBudget

pytestmark = pytest.mark.usefixtures("committed", "opened", "sandbox")

HAIKU, SONNET = registry.get("summarize").routes[0].models

OPEN_S = 120
"""Seconds for which a breaker stays open in these tests."""


def waits(job: Job) -> float:
    """Seconds until it is due."""
    wait = Job.objects.filter(pk=job.pk).values_list(F("run_at") - Now(), flat=True).get()
    seconds: float = wait.total_seconds()
    return seconds


def is_deferred(job: Job, *, since: datetime, at_least_s: float, at_most_s: float) -> bool:
    """Whether its next run is so long after `since` at least, and so long after now at most."""
    earliest = since + timedelta(seconds=at_least_s)
    return earliest <= job.run_at <= database_time() + timedelta(seconds=at_most_s)


def set_control(**values: Any) -> None:
    effective.change("summarize", values, reason="test", check_name="test")


def open_breaker(model: str) -> None:
    """Open the breaker of this model for longer than any test lasts."""
    gate = factory.gate()
    for _ in range(BreakerPolicy().minimum):
        if gate.breaker(model).state == "closed":  # earlier calls count as well
            fault = ProviderFault("500", billing=Billing.NONE)
            gate.admit(model=model, input_tokens=1, output_tokens=1).failed(fault)
    assert gate.breaker(model).state == "open"
    set_probe_time(model, in_s=OPEN_S)


def set_probe_time(model: str, *, in_s: int) -> None:
    """Set the time at which the next probe of this model may be sent."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        seconds, micros = client.time()
        at = (seconds + in_s) * SECOND + micros
        client.hset(f"aif:breaker:{model}", "until", at)


def test_an_open_breaker_uses_the_next_model(make_job: MakeJob) -> None:
    open_breaker(HAIKU)
    job = summarise(make_job)
    assert job.status == Status.SUCCEEDED
    (call,) = Attempt.objects.filter(job=job)
    assert (call.model, call.purpose, call.number) == (SONNET, "escalation", 1)


def test_without_a_model_the_job_waits(make_job: MakeJob, sandbox: SandboxServer) -> None:
    before = database_time()
    for model in (HAIKU, SONNET):
        open_breaker(model)
    job = summarise(make_job)
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "provider_paused", 0)
    assert job.error_message == WAITING[WaitReason.PROVIDER_PAUSED].replace(
        "{until}", f"{job.deadline_at:%H:%M}"
    )
    assert is_deferred(job, since=before, at_least_s=OPEN_S - 1, at_most_s=OPEN_S + 1)
    assert sandbox.calls() == []
    assert not Attempt.objects.exists()


def test_a_wait_past_the_deadline_is_cut(make_job: MakeJob) -> None:
    """The job runs again while there is time for a call. Without that time, it ends."""
    for model in (HAIKU, SONNET):
        open_breaker(model)
    before = database_time()
    job = summarise(make_job, deadline_at=Now() + timedelta(seconds=60))
    assert (job.status, job.wait_reason) == (Status.QUEUED, "provider_paused")
    latest_s = 60 - LEAST_CALL_S
    assert is_deferred(job, since=before, at_least_s=latest_s - 5, at_most_s=latest_s)
    Job.objects.update(run_at=Now(), deadline_at=Now() + timedelta(seconds=LEAST_CALL_S + 1))
    job = run(job)
    assert (job.status, job.error_code) == (Status.FAILED, "provider_unavailable")


def test_a_small_budget_waits_for_the_first_model(make_job: MakeJob) -> None:
    set_control(user_daily_budget_usd="0.01")
    before = database_time()
    open_breaker(HAIKU)
    job = summarise(make_job)
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "provider_paused", 0)
    assert is_deferred(job, since=before, at_least_s=OPEN_S - 1, at_most_s=OPEN_S + 1)
    assert not Attempt.objects.filter(job=job).exists()
    empty_gates()  # the breaker is closed again
    assert again(job).status == Status.SUCCEEDED


def test_a_feature_may_exclude_fallback(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = registry.get("summarize").model_copy(update={"falls_back": False})
    monkeypatch.setattr(registry, "get", lambda _slug: patient)
    open_breaker(HAIKU)
    job = summarise(make_job)
    assert (job.status, job.wait_reason) == (Status.QUEUED, "provider_paused")


def test_a_deferral_leaves_the_retry_budget(make_job: MakeJob, context: WorkerContext) -> None:
    budget = RetryBudget(floor=1, ratio=0)
    for model in (HAIKU, SONNET):
        open_breaker(model)
    with worker_context.using(replace(context, retries=budget)):
        for _ in range(3):
            job = summarise(make_job, wait_reason="provider_waiting")
            assert job.wait_reason == "provider_paused"
    assert budget.withdraw() is not None


TEXT = "word " * 1_050


def test_a_user_over_the_token_rate_waits(make_job: MakeJob, bob: User) -> None:
    set_control(tokens_per_minute=6_000)
    before = database_time()
    first = run(make_job(input={"document": TEXT}))
    second = run(make_job(input={"document": TEXT}))
    assert first.status == Status.SUCCEEDED
    # The unused tokens of the first call came back. The used ones refill at 100 a second.
    assert (second.status, second.wait_reason) == (Status.QUEUED, "user_tokens")
    assert second.error_message == WAITING[WaitReason.USER_TOKENS]
    assert is_deferred(second, since=before, at_least_s=25, at_most_s=35)
    assert run(make_job(user=bob, input={"document": TEXT})).status == Status.SUCCEEDED


@pytest.mark.parametrize(
    ("waited_for", "booked"), [("user_tokens", True), ("", False), ("feature_paused", False)]
)
def test_a_waiting_job_has_a_booking(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, waited_for: str, booked: bool
) -> None:
    gateway, asked = factory.gateway(), list[bool]()
    admit = gateway.admit

    def noted(*arguments: Any, **how: Any) -> Any:
        asked.append(how["booked"])
        return admit(*arguments, **how)

    monkeypatch.setattr(gateway, "admit", noted)
    summarise(make_job, wait_reason=waited_for)
    assert asked == [booked]


def test_the_concurrency_limit_holds(make_job: MakeJob, sandbox: SandboxServer) -> None:
    set_control(user_in_flight=1)
    begin(claim(make_job()))
    job = summarise(make_job)
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "user_busy", 0)
    assert sandbox.calls() == []


def test_a_refused_call_gives_its_tokens_back(make_job: MakeJob) -> None:
    set_control(user_in_flight=1, tokens_per_minute=20_000)
    other = claim(make_job())
    call = begin(other)
    for _ in range(20):
        assert summarise(make_job).wait_reason == "user_busy"
    transitions.settle(other, Settlement(call, AttemptState.SETTLED))
    assert summarise(make_job).status == Status.SUCCEEDED


def test_a_deferral_after_a_call_counts_a_try(make_job: MakeJob, sandbox: SandboxServer) -> None:
    """Otherwise its first call would be made and paid for again and again."""
    sandbox.set_faults({"kind": "malformed_output", "times": 1})
    set_control(daily_budget_usd="50", tokens_per_minute=3_200)
    job = summarise(make_job)
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "user_tokens", 1)
    assert [c.purpose for c in Attempt.objects.filter(job=job)] == ["generation"]
    assert held() == {0}


def test_a_held_budget_after_a_call_counts_a_try(
    make_job: MakeJob, sandbox: SandboxServer, bob: User
) -> None:
    """There is room for the first call to the micro-dollar, and none for its repair."""
    summarise(make_job)
    call, window = Attempt.objects.get(), SpendWindow.objects.get(scope="feature")
    others = 1_000_000 - window.spent_micro - call.bound_micro
    begin(claim(make_job(user=bob)), bound=others)
    set_control(daily_budget_usd="1")
    sandbox.set_faults({"kind": "malformed_output", "times": 1})
    job = summarise(make_job)
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "budget_held", 1)


def test_a_busy_user_counts_a_try(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another job of the user begins a call between the first one and its repair."""
    set_control(user_in_flight=1)
    other, settle = claim(make_job()), transitions.settle

    def settle_and_begin_another(*arguments: Any) -> None:
        settle(*arguments)
        begin(other)

    monkeypatch.setattr(transitions, "settle", settle_and_begin_another)
    sandbox.set_faults({"kind": "malformed_output", "times": 1})
    job = summarise(make_job)
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "user_busy", 1)


def test_an_outage_counts_a_try(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the same call would be paid for again and again during the outage."""

    def away(*_: Any) -> None:
        raise OperationalError

    sandbox.set_faults({"kind": "malformed_output"})
    monkeypatch.setattr(outcomes, "until_stored", lambda write, what, **_: write())
    monkeypatch.setattr(transitions, "settle", away)
    job = summarise(make_job)
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "interrupted", 1)
    monkeypatch.setattr(transitions, "begin_attempt", away)
    job = summarise(make_job)
    assert (job.wait_reason, job.tries) == ("interrupted", 0), "nothing was sent"
