"""The provider account cannot sign in or pay: jobs wait for one probe at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.db.models.functions import Now

from aifeature import prompts, registry
from aifeature.models import Alert, Attempt, Job, ProviderAccount, Status
from aifeature.services.controls import effective
from aifeature.services.execution import calls
from aifeature.services.execution.job_run import LEAST_CALL_S
from aifeature.services.provider import account, factory
from aifeature.services.provider import watch as provider_watch
from aifeature.services.watch import watcher
from aifeature.spec import Purpose
from tests.integration.execution.test_gated import HAIKU, SONNET
from tests.integration.execution.test_job_run import ARTICLE, again, run, summarise
from tests.integration.job_rows import MakeCall, MakeJob, database_time
from tests.sandbox_server import SandboxServer
from workers.inference import (
    Cancel,
    Deferred,
    InferenceError,
    InferenceRequest,
    Message,
    TextBlock,
)

pytestmark = pytest.mark.usefixtures("committed", "live_prompt", "sandbox")

ACCOUNT_FAULTS = {
    "authentication": "access_denied",
    "permission": "access_denied",
    "on_hold": "access_denied",
    "billing": "billing_stopped",
    "credit_too_low": "billing_stopped",
    "usage_limit": "billing_stopped",
    "enforced_spend_limit": "billing_stopped",
    "contract_spend_limit": "billing_stopped",
}
"""By a fault of the whole account, the error code of its calls."""


def probe_is_due() -> None:
    ProviderAccount.objects.update(next_probe_at=Now(), probe_until=None)
    account.cache.clear()


def sent_for(job: Job | None) -> int:
    return Attempt.objects.filter(job=job).count()


def stopped(make_job: MakeJob, sandbox: SandboxServer, fault: str) -> Job:
    """Stop the account by this fault, and return the job that waits for it."""
    sandbox.set_faults({"kind": fault})
    return summarise(make_job)


def is_refused(job: Job) -> None:
    """The job failed, and the account goes on."""
    assert (job.status, job.error_code) == (Status.FAILED, "provider_refused")
    assert ProviderAccount.objects.get().stopped_at is None


@pytest.mark.parametrize(("fault", "code"), ACCOUNT_FAULTS.items())
def test_a_failing_account_stops_all_calls(
    make_job: MakeJob, sandbox: SandboxServer, fault: str, code: str
) -> None:
    sandbox.set_faults({"kind": fault})
    jobs = [summarise(make_job) for _ in range(3)]
    assert {(job.status, job.error_code, job.tries) for job in jobs} == {
        (Status.QUEUED, "provider_account", 0)
    }
    assert sum(sent_for(job) for job in jobs) == 1, "the others were not sent"
    assert jobs[0].error_message.startswith(
        "The service is temporarily unavailable. We keep trying"
    )
    row = ProviderAccount.objects.get()
    assert (row.stopped_at is not None, row.code) == (True, code)
    watcher.check(after_s=0)
    alert = Alert.objects.get()
    assert (alert.kind, alert.subject) == ("provider_account", account.name())
    assert alert.notified_at is not None, "the first turn of the watcher notifies on-call"


def test_the_alert_hides_the_key(make_job: MakeJob, sandbox: SandboxServer, settings: Any) -> None:
    settings.AIFEATURE = {**settings.AIFEATURE, "API_KEY": "sk-secret-value"}
    stopped(make_job, sandbox, "authentication")
    alert = Alert.objects.get()
    assert "sk-secret" not in f"{alert.subject} {alert.summary} {alert.figures}"


@pytest.mark.parametrize("fault", ["authentication", "credit_too_low", "permission"])
def test_one_bad_request_stops_nothing(
    make_job: MakeJob, sandbox: SandboxServer, fault: str
) -> None:
    sandbox.set_faults({"kind": fault, "times": 1})
    is_refused(summarise(make_job))
    assert not Alert.objects.exists()
    assert summarise(make_job).status == Status.SUCCEEDED


def test_request_errors_share_a_probe(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account.cache, "_clock", lambda: 0.0)
    for _ in range(3):
        sandbox.set_faults({"kind": "credit_too_low", "times": 1})
        assert summarise(make_job).status == Status.FAILED
    assert sent_for(None) == 1


def test_a_403_of_one_model_is_not_of_the_account(
    make_job: MakeJob, sandbox: SandboxServer
) -> None:
    sandbox.set_faults({"kind": "permission", "model": HAIKU})
    is_refused(summarise(make_job))
    probes = Attempt.objects.filter(job=None).order_by("started_at")
    assert [call.model for call in probes] == [HAIKU, SONNET]


@pytest.mark.parametrize("second", ["permission", "overloaded"])
def test_one_admitted_model_is_enough(
    make_job: MakeJob, sandbox: SandboxServer, second: str
) -> None:
    sandbox.set_faults({"kind": "permission", "model": HAIKU}, {"kind": second, "model": SONNET})
    is_refused(summarise(make_job))


def test_a_403_of_one_model_ends_the_stop(make_job: MakeJob, sandbox: SandboxServer) -> None:
    job = stopped(make_job, sandbox, "permission")
    assert job.wait_reason == "provider_account"
    sandbox.set_faults({"kind": "permission", "model": HAIKU})
    probe_is_due()
    is_refused(again(job))


def test_a_refused_probe_keeps_its_turn_for_others(
    make_job: MakeJob, opened: None, sandbox: SandboxServer
) -> None:
    job = stopped(make_job, sandbox, "authentication")
    sandbox.set_faults()
    probe_is_due()
    before = ProviderAccount.objects.get()
    effective.change("summarize", {"daily_budget_usd": "0"}, reason="test", check_name="test")
    assert again(job).wait_reason == "provider_account"
    after = ProviderAccount.objects.get()
    assert (after.next_probe_at, after.probe_until) == (before.next_probe_at, None)
    assert after.stopped_at is not None


def test_a_turn_outlasts_a_probe_of_each_model() -> None:
    assert calls.PROBE_S * len(factory.gateway().known_models()) < account.LEASE_S


def test_an_answered_probe_ends_the_wait(make_job: MakeJob, sandbox: SandboxServer) -> None:
    job = stopped(make_job, sandbox, "credit_too_low")
    probe_is_due()
    job = again(job)
    assert (job.status, job.wait_reason) == (Status.QUEUED, "provider_account")
    assert ProviderAccount.objects.get().failed_probes == 2
    assert sent_for(job) == 1, "probes are calls of no job"
    sandbox.set_faults()
    probe_is_due()
    job = again(job)
    assert (job.status, job.tries) == (Status.SUCCEEDED, 0)
    assert ProviderAccount.objects.get().stopped_at is None
    assert Alert.objects.get().closed_at is not None


def test_one_probe_is_sent_for_all_jobs(make_job: MakeJob, sandbox: SandboxServer) -> None:
    stopped(make_job, sandbox, "authentication")
    before = sent_for(None)
    jobs = [make_job(input={"document": ARTICLE}) for _ in range(6)]
    probe_is_due()

    def work(job: Job) -> Job:
        try:
            return run(job)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        ended = list(pool.map(work, jobs))
    assert {job.wait_reason for job in ended} == {"provider_account"}
    assert sent_for(None) - before == 1


def test_a_lost_probe_is_replaced(make_job: MakeJob, sandbox: SandboxServer) -> None:
    job = stopped(make_job, sandbox, "authentication")
    sandbox.set_faults()
    probe_is_due()
    ProviderAccount.objects.update(probe_until=Now() + timedelta(seconds=20))
    assert again(job).wait_reason == "provider_account"
    ProviderAccount.objects.update(probe_until=Now())
    assert again(job).status == Status.SUCCEEDED


def test_a_stale_state_sends_no_second_probe(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = stopped(make_job, sandbox, "authentication")
    before = sent_for(None)
    monkeypatch.setattr(account.cache, "_clock", lambda: 0.0)  # the state is read only once
    probe_is_due()
    assert account.cache.probe_in_s() == 0
    ProviderAccount.objects.update(next_probe_at=Now() + timedelta(seconds=60))
    Job.objects.filter(pk=job.pk).update(run_at=Now())
    assert run(job).wait_reason == "provider_account"
    assert sent_for(None) == before


@pytest.mark.parametrize("fault", ["overloaded", "rate_limited"])
def test_an_unclear_probe_is_ignored(make_job: MakeJob, sandbox: SandboxServer, fault: str) -> None:
    job = stopped(make_job, sandbox, "billing")
    sandbox.set_faults({"kind": fault})
    probe_is_due()
    assert again(job).wait_reason == "provider_account"
    row = ProviderAccount.objects.get()
    assert (row.stopped_at is not None, row.probe_until) == (True, None)


def test_an_unsettled_doubt_counts_as_a_try(make_job: MakeJob, sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "billing", "times": 1}, {"kind": "overloaded"})
    job = summarise(make_job)
    assert (job.status, job.wait_reason, job.tries) == (Status.QUEUED, "provider_waiting", 1)
    assert ProviderAccount.objects.get().stopped_at is None


@pytest.mark.parametrize("probes", ["overloaded", "rate_limited"])
def test_unsettled_doubts_end_a_job(make_job: MakeJob, sandbox: SandboxServer, probes: str) -> None:
    job = make_job(input={"document": ARTICLE})
    for _ in range(registry.get("summarize").limits.max_tries):
        assert job.status == Status.QUEUED
        sandbox.set_faults({"kind": "authentication", "times": 1}, {"kind": probes})
        job = again(job)
    assert (job.status, job.error_code) == (Status.FAILED, "provider_unavailable")
    assert job.error_message.startswith("The service is temporarily unavailable.")


def test_a_job_near_its_deadline_fails(
    make_job: MakeJob, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(make_job, sandbox, "billing")
    ProviderAccount.objects.update(next_probe_at=Now() + timedelta(seconds=60))
    account.cache.clear()
    monkeypatch.setattr(account.cache, "_clock", lambda: 0.0)  # the state is read only once
    soon = Now() + timedelta(seconds=LEAST_CALL_S + 1.5)
    job = summarise(make_job, deadline_at=soon, wait_reason="provider_account")
    assert (job.status, job.error_code) == (Status.FAILED, "provider_unavailable")
    assert job.error_message.startswith("The service is temporarily unavailable.")
    probe_at = ProviderAccount.objects.get().next_probe_at
    assert probe_at is not None
    assert probe_at <= summarise(make_job).run_at <= database_time() + timedelta(seconds=61)


def test_calls_of_no_job_stop_with_the_account(sandbox: SandboxServer) -> None:
    sandbox.set_faults({"kind": "billing"})
    feature, prompt = registry.get("summarize"), prompts.get("summarize", "v3")
    with pytest.raises(InferenceError):
        calls.call(feature, a_request(SONNET), purpose=Purpose.JUDGE, prompt=prompt)
    with pytest.raises(Deferred, match="account"):
        calls.call(feature, a_request(SONNET), purpose=Purpose.JUDGE, prompt=prompt)
    assert Alert.objects.get().kind == "provider_account"


def a_request(model: str) -> InferenceRequest:
    messages = (Message("user", (TextBlock("Score the answer."),)),)
    return InferenceRequest(uuid4(), model=model, system=(), messages=messages, max_tokens=200)


def test_an_aborted_suspicion_leaves_room_for_a_probe(sandbox: SandboxServer) -> None:
    def stopped(_model: str) -> None:
        raise KeyboardInterrupt

    sandbox.set_faults({"kind": "billing"})
    with pytest.raises(InferenceError) as caught:
        factory.gateway().infer(a_request(HAIKU), cancel=Cancel())
    with pytest.raises(KeyboardInterrupt):
        account.suspect(caught.value, HAIKU, models=(HAIKU,), probe=stopped)
    assert ProviderAccount.objects.get().probe_until is None


def test_a_replaced_key_is_forgotten(make_job: MakeJob, sandbox: SandboxServer) -> None:
    stopped(make_job, sandbox, "authentication")
    ProviderAccount.objects.update(account="sandbox, key 0ld")
    Alert.objects.update(subject="sandbox, key 0ld")
    account.cache.clear()
    sandbox.set_faults()
    assert summarise(make_job).status == Status.SUCCEEDED
    assert not provider_watch.check(probe=calls.probe).ok
    ProviderAccount.objects.update(tried_at=Now() - timedelta(seconds=account.UNUSED_S + 1))
    assert provider_watch.check(probe=calls.probe).ok
    assert Alert.objects.get().closed_at is not None


def test_a_probed_key_is_kept(
    make_job: MakeJob, make_call: MakeCall, sandbox: SandboxServer
) -> None:
    job = stopped(make_job, sandbox, "authentication")
    ProviderAccount.objects.update(tried_at=Now() - timedelta(seconds=account.UNUSED_S + 1))
    sandbox.set_faults({"kind": "overloaded"})
    probe_is_due()
    assert again(job).wait_reason == "provider_account"
    make_call()  # of another key
    assert account.end_unused() == 0
    assert ProviderAccount.objects.get().stopped_at is not None


def test_a_stop_without_answers_stays(make_job: MakeJob, sandbox: SandboxServer) -> None:
    stopped(make_job, sandbox, "authentication")
    ProviderAccount.objects.update(tried_at=Now() - timedelta(days=1))
    found = provider_watch.check(probe=calls.probe)
    assert not found.ok
    assert "cannot sign in" in found.result
