"""Jobs while breakers are open: they send probes, and wait in an outage."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from django.conf import settings
from django.db.models.functions import Now

from aifeature import prompts, registry
from aifeature.models import Alert, Attempt, Job, SpendWindow, Status
from aifeature.models import calls as ledger_calls
from aifeature.services.controls import effective
from aifeature.services.execution import calls, lease
from aifeature.services.execution.worker_context import WorkerContext
from aifeature.services.provider import factory, watch
from aifeature.spec import Purpose
from tests.integration.execution.conftest import wait_for
from tests.integration.execution.test_account import a_request
from tests.integration.execution.test_gated import HAIKU, SONNET, open_breaker, set_probe_time
from tests.integration.execution.test_job_run import ARTICLE, again, run, summarise
from tests.integration.job_rows import MakeJob
from tests.sandbox_server import SandboxServer
from workers import tasks
from workers.inference import Cancel, Cancelled, InferenceRequest
from workers.inference.token_bucket import SECOND

pytestmark = pytest.mark.usefixtures("committed", "live_prompt", "sandbox")


def probe_is_due(model: str) -> None:
    """Let its open time end now."""
    set_probe_time(model, in_s=0)


def let_probe_be_due() -> None:
    """Open the breaker of the first model until now."""
    open_breaker(HAIKU)
    probe_is_due(HAIKU)


def states() -> dict[str, str]:
    return {model: factory.gate().breaker(model).state for model in (HAIKU, SONNET)}


def probes() -> list[Attempt]:
    return list(Attempt.objects.filter(purpose=Purpose.PROBE).order_by("started_at"))


def test_a_probe_is_a_tiny_call_of_no_user(make_job: MakeJob) -> None:
    let_probe_be_due()
    job = summarise(make_job)
    assert job.status == Status.SUCCEEDED
    (probe,) = probes()
    assert (probe.model, probe.state, probe.error_code) == (HAIKU, "settled", "")
    assert (probe.job_id, probe.user_id, probe.feature) == (None, None, "summarize")
    assert 0 < probe.cost_micro <= probe.bound_micro < 100
    spent = {w.scope: w.spent_micro for w in SpendWindow.objects.all()}
    assert spent["feature"] == probe.cost_micro + job.charge_micro
    assert spent["user"] == job.charge_micro


def test_a_probe_takes_ten_seconds(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    let_probe_be_due()
    gateway, sent = factory.gateway(), list[InferenceRequest]()
    infer = gateway.infer

    def noted(request: InferenceRequest, **how: Any) -> Any:
        sent.append(request)
        return infer(request, **how)

    monkeypatch.setattr(gateway, "infer", noted)
    summarise(make_job)
    probe, call = sent
    assert (probe.deadline_s, probe.max_tokens) == (10, 1)
    assert call.deadline_s > 10


def test_in_a_storm_only_probes_are_sent(make_job: MakeJob, sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "overloaded"})
    open_breaker(HAIKU)
    job = summarise(make_job)
    for _ in range(3):
        probe_is_due(HAIKU)
        probe_is_due(SONNET)
        job = again(job)
        assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "provider_paused", 0)
    assert {call.purpose for call in Attempt.objects.all()} == {Purpose.PROBE}
    assert not Attempt.objects.filter(job=job).exists()


def test_in_an_outage_nothing_falls_back(make_job: MakeJob, sandbox: SandboxServer) -> None:
    """A probe finds that the second model is down, so no job is sent to it."""
    open_breaker(HAIKU)
    sandbox.set_faults({"kind": "overloaded"})
    assert summarise(make_job).wait_reason == "provider_paused"
    assert states() == {HAIKU: "open", SONNET: "open"}
    assert factory.gate().outage() == (HAIKU, SONNET)
    sandbox.set_faults()
    probe_is_due(SONNET)
    assert summarise(make_job).wait_reason == "provider_paused"
    assert [probe.model for probe in probes()] == [SONNET], "the first model gets no probe"


def test_the_check_sends_the_probes_that_no_job_sends(sandbox: SandboxServer) -> None:
    for model in (HAIKU, SONNET):
        open_breaker(model)
    tasks.check_provider()
    assert probes() == [], "none is due"
    for model in (HAIKU, SONNET):
        probe_is_due(model)
    tasks.check_provider()
    assert [probe.model for probe in probes()] == [HAIKU, SONNET]
    assert open_alerts() == {"breaker_open", "provider_outage"}, "a job may fail all the same"
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        for model in (HAIKU, SONNET):
            client.hincrby(f"aif:breaker:{model}", "proved", -round(watch.UNUSED_S) * SECOND)
    assert tasks.check_provider() == "Calls to every model go through."
    assert open_alerts() == set()
    assert len(probes()) == 2


@pytest.mark.parametrize("model", [HAIKU, SONNET])
def test_a_probe_of_the_check_is_paid_by_a_feature_that_may_pay(opened: None, model: str) -> None:
    open_breaker(model)
    probe_is_due(model)
    first, *others = registry.offered()
    effective.change(first, {"killed": True}, reason="test", check_name="test")
    tasks.check_provider()
    (probe,) = probes()
    assert probe.feature == others[0]


def open_alerts() -> set[str]:
    return set(Alert.objects.filter(closed_at=None).values_list("kind", flat=True))


def test_a_job_ends_an_outage(make_job: MakeJob) -> None:
    for model in (HAIKU, SONNET):
        open_breaker(model)
    job = summarise(make_job)
    assert job.wait_reason == "provider_paused"
    probe_is_due(HAIKU)
    job = again(job)
    assert (job.status, job.model) == (Status.SUCCEEDED, HAIKU)
    for _ in range(4):
        assert summarise(make_job).status == Status.SUCCEEDED
    assert states() == {HAIKU: "closed", SONNET: "open"}
    assert factory.gate().outage() == ()


@pytest.mark.parametrize("switch", [{"killed": True}, {"daily_budget_usd": "0"}])
def test_switch_and_caps_stop_a_probe(
    make_job: MakeJob, opened: None, sandbox: SandboxServer, switch: dict[str, Any]
) -> None:
    let_probe_be_due()
    job = make_job(input={"document": ARTICLE})
    effective.change("summarize", switch, reason="test", check_name="test")
    assert run(job).status == Status.QUEUED
    assert sandbox.calls() == []
    assert factory.gate().breaker(HAIKU).probes == 0, "its place is free for another feature"


def test_a_job_cancelled_during_its_probe_ends(
    make_job: MakeJob, context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_probe_be_due()
    job = make_job(input={"document": ARTICLE})
    begin = ledger_calls.begin

    def cancelled_meanwhile(*arguments: Any) -> None:
        begin(*arguments)
        Job.objects.filter(pk=job.pk).update(cancel_requested_at=Now())
        context.keeper.abort_all(lease.USER)

    monkeypatch.setattr(ledger_calls, "begin", cancelled_meanwhile)
    assert run(job).status == Status.CANCELLED
    assert not Attempt.objects.filter(job=job).exists()


def test_jobless_calls_send_probes() -> None:
    """Otherwise the breaker of a model that only judges would stay open."""
    let_probe_be_due()
    feature, prompt = registry.get("summarize"), prompts.get("summarize", "v3")
    calls.call(feature, a_request(HAIKU), purpose=Purpose.JUDGE, prompt=prompt)
    assert [call.purpose for call in Attempt.objects.order_by("started_at")] == ["probe", "judge"]


def test_the_switch_aborts_a_probe_without_a_job(
    opened: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_probe_be_due()
    gateway = factory.gateway()
    infer = gateway.infer

    def stopped_meanwhile(request: InferenceRequest, *, cancel: Cancel, **how: Any) -> Any:
        effective.change("summarize", {"killed": True}, reason="test", check_name="test")
        wait_for(lambda: cancel.reason is not None)  # by the thread of the keeper
        return infer(request, cancel=cancel, **how)

    monkeypatch.setattr(gateway, "infer", stopped_meanwhile)
    feature, prompt = registry.get("summarize"), prompts.get("summarize", "v3")
    with pytest.raises(Cancelled):
        calls.call(feature, a_request(HAIKU), purpose=Purpose.JUDGE, prompt=prompt)
    assert [call.purpose for call in Attempt.objects.all()] == ["probe"]
