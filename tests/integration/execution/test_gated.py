"""What becomes of a job whose call the gate, or the user's other calls, keep from being sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
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
from tests.integration.execution.test_job_run import ARTICLE, run
from tests.integration.job_rows import MakeJob, begin, claim
from tests.sandbox_server import SandboxServer
from workers.inference import Billing, ProviderFault
from workers.inference.breaker import BreakerPolicy
from workers.inference.token_bucket import SECOND
from workers.retry_budget import RetryBudget

pytestmark = [pytest.mark.usefixtures("committed")]

HAIKU, SONNET = registry.get("summarize").route(100).models

OPEN_S = 120
"""How long a breaker stays open here."""


def waits(job: Job) -> float:
    """Seconds until it is due."""
    row = Job.objects.annotate(wait=F("run_at") - Now()).get(pk=job.pk)
    seconds: float = row.wait.total_seconds()
    return seconds


def set_control(**values: Any) -> None:
    effective.change("summarize", values, reason="test", check_name="test")


def open_breaker(model: str) -> None:
    """As many failures of this model as open its breaker. It stays open longer than any test."""
    gate = factory.gate()
    for _ in range(BreakerPolicy().minimum):
        if gate.breaker(model).state == "closed":  # sooner where calls went well before
            gate.admit(model=model, input_tokens=1, output_tokens=1).failed(_fault())
    assert gate.breaker(model).state == "open"
    set_probe_time(model, in_s=OPEN_S)


def set_probe_time(model: str, *, in_s: int) -> None:
    """When the next probe of this model may be sent."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        seconds, micros = client.time()
        at = (seconds + in_s) * SECOND + micros
        client.hset(f"aif:breaker:{model}", "until", at)


def _fault() -> Exception:
    return ProviderFault("500", billing=Billing.NONE)


def test_while_the_breaker_is_open_the_next_model_answers(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    open_breaker(HAIKU)
    job = run(make_job(input={"document": ARTICLE}))
    assert job.status == Status.SUCCEEDED
    (call,) = Attempt.objects.filter(job=job)
    assert (call.model, call.purpose, call.number) == (SONNET, "escalation", 1)


def test_without_another_model_the_job_waits_for_the_probe(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    for model in (HAIKU, SONNET):
        open_breaker(model)
    job = run(make_job(input={"document": ARTICLE}))
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "provider_paused", 0)
    assert job.error_message == WAITING[WaitReason.PROVIDER_PAUSED].replace(
        "{until}", f"{job.deadline_at:%H:%M}"
    )
    assert 0 < waits(job) <= OPEN_S + 1
    assert sandbox.calls() == []
    assert not Attempt.objects.exists()


def test_a_job_that_is_told_to_come_back_too_late_looks_once_more_in_time(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    """The breaker may close long before. With hardly more time than a call takes, it ends."""
    for model in (HAIKU, SONNET):
        open_breaker(model)
    job = run(make_job(input={"document": ARTICLE}, deadline_at=Now() + timedelta(seconds=60)))
    assert (job.status, job.wait_reason) == (Status.QUEUED, "provider_paused")
    assert LEAST_CALL_S <= 60 - waits(job) <= LEAST_CALL_S + 5
    Job.objects.update(run_at=Now(), deadline_at=Now() + timedelta(seconds=LEAST_CALL_S + 1))
    job = run(job)
    assert (job.status, job.error_code) == (Status.FAILED, "provider_unavailable")


def test_a_budget_too_small_for_the_next_model_waits_for_the_first(
    make_job: MakeJob, opened: None, sandbox: SandboxServer
) -> None:
    set_control(user_daily_budget_usd="0.01")
    open_breaker(HAIKU)
    job = run(make_job(input={"document": ARTICLE}))
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "provider_paused", 0)
    assert 0 < waits(job) <= OPEN_S + 1
    assert not Attempt.objects.filter(job=job).exists()
    empty_gates()  # the breaker is closed again
    Job.objects.update(run_at=Now())
    assert run(job).status == Status.SUCCEEDED


def test_a_feature_may_rather_wait_than_fall_back(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = registry.get("summarize").model_copy(update={"falls_back": False})
    monkeypatch.setattr(registry, "get", lambda _slug: patient)
    open_breaker(HAIKU)
    job = run(make_job(input={"document": ARTICLE}))
    assert (job.status, job.wait_reason) == (Status.QUEUED, "provider_paused")


def test_a_deferral_takes_nothing_from_the_retry_budget(
    make_job: MakeJob, sandbox: SandboxServer, context: WorkerContext
) -> None:
    budget = RetryBudget(floor=1, ratio=0)
    for model in (HAIKU, SONNET):
        open_breaker(model)
    with worker_context.using(replace(context, retries=budget)):
        for _ in range(3):
            job = run(make_job(input={"document": ARTICLE}, wait_reason="provider_waiting"))
            assert job.wait_reason == "provider_paused"
    assert budget.withdraw() is not None


def test_who_sends_a_lot_waits_and_is_told(
    make_job: MakeJob, opened: None, sandbox: SandboxServer, bob: User
) -> None:
    set_control(tokens_per_minute=6_000)
    first = run(make_job(input={"document": "x " * 2_500}))
    second = run(make_job(input={"document": "x " * 2_500}))
    assert first.status == Status.SUCCEEDED
    # What the first did not need was given back; what it needed refills a hundred a second.
    assert (second.status, second.wait_reason) == (Status.QUEUED, "user_tokens")
    assert second.error_message == WAITING[WaitReason.USER_TOKENS]
    assert 0 < waits(second) < 60
    assert run(make_job(user=bob, input={"document": "x " * 2_500})).status == Status.SUCCEEDED


@pytest.mark.parametrize(
    ("waited_for", "booked"), [("user_tokens", True), ("", False), ("feature_paused", False)]
)
def test_who_comes_back_at_the_time_they_were_told_has_a_place_kept(
    make_job: MakeJob,
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
    waited_for: str,
    booked: bool,
) -> None:
    gateway, asked = factory.gateway(), list[bool]()
    admit = gateway.admit

    def noted(*arguments: Any, **how: Any) -> Any:
        asked.append(how["booked"])
        return admit(*arguments, **how)

    monkeypatch.setattr(gateway, "admit", noted)
    run(make_job(input={"document": ARTICLE}, wait_reason=waited_for))
    assert asked == [booked]


def test_calls_at_once_are_as_many_as_may_be(
    make_job: MakeJob, opened: None, sandbox: SandboxServer
) -> None:
    set_control(user_in_flight=1)
    begin(claim(make_job()))
    job = run(make_job(input={"document": ARTICLE}))
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "user_busy", 0)
    assert sandbox.calls() == []


def test_a_refused_call_gives_back_what_the_gate_took(
    make_job: MakeJob, opened: None, sandbox: SandboxServer
) -> None:
    set_control(user_in_flight=1, tokens_per_minute=20_000)
    other = claim(make_job())
    call = begin(other)
    for _ in range(20):
        assert run(make_job(input={"document": ARTICLE})).wait_reason == "user_busy"
    transitions.settle(other, Settlement(call, AttemptState.SETTLED))
    assert run(make_job(input={"document": ARTICLE})).status == Status.SUCCEEDED


def test_a_job_that_paid_before_it_was_deferred_counts_a_try(
    make_job: MakeJob, opened: None, sandbox: SandboxServer
) -> None:
    """Else its first call would be made and paid for again and again."""
    sandbox.set_faults({"kind": "malformed_output", "times": 1})
    job = make_job(input={"document": ARTICLE})
    bound = 3_200
    set_control(daily_budget_usd="50", tokens_per_minute=bound)
    job = run(job)
    assert (job.status, job.wait_reason) == (Status.QUEUED, "user_tokens")
    assert job.tries == 1
    assert [c.purpose for c in Attempt.objects.filter(job=job)] == ["generation"]
    assert set(SpendWindow.objects.values_list("held_micro", flat=True)) == {0}


def test_a_budget_that_others_hold_after_a_paid_call_counts_a_try(
    make_job: MakeJob, opened: None, sandbox: SandboxServer, bob: User
) -> None:
    """There is room for the first call to the micro-dollar, and none for its repair."""
    run(make_job(input={"document": ARTICLE}))
    call, window = Attempt.objects.get(), SpendWindow.objects.get(scope="feature")
    others = 1_000_000 - window.spent_micro - call.bound_micro
    begin(claim(make_job(user=bob)), bound=others)
    set_control(daily_budget_usd="1")
    sandbox.set_faults({"kind": "malformed_output", "times": 1})
    job = run(make_job(input={"document": ARTICLE}))
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "budget_held", 1)


def test_a_user_who_is_busy_after_a_paid_call_counts_a_try(
    make_job: MakeJob, opened: None, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another job of theirs begins a call between the first one and its repair."""
    set_control(user_in_flight=1)
    other, settle = claim(make_job()), transitions.settle

    def settle_and_begin_another(*arguments: Any) -> None:
        settle(*arguments)
        begin(other)

    monkeypatch.setattr(transitions, "settle", settle_and_begin_another)
    sandbox.set_faults({"kind": "malformed_output", "times": 1})
    job = run(make_job(input={"document": ARTICLE}))
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "user_busy", 1)


def test_an_outage_after_a_paid_call_counts_a_try(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the same call would be paid for as long as the database errs."""

    def away(*_: Any) -> None:
        raise OperationalError

    sandbox.set_faults({"kind": "malformed_output"})
    # It stays away for as long as anybody waits for it.
    monkeypatch.setattr(outcomes, "until_stored", lambda write, what, **_: write())
    monkeypatch.setattr(transitions, "settle", away)
    job = run(make_job(input={"document": ARTICLE}))
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "interrupted", 1)
    monkeypatch.setattr(transitions, "begin_attempt", away)
    job = run(make_job(input={"document": ARTICLE}))
    assert (job.wait_reason, job.tries) == ("interrupted", 0), "nothing was sent"
